import { randomBytes } from 'node:crypto'

/** Chance, passed in. Numbers in [0, 1). */
export interface Random {
  next(): number
}

/** mulberry32: small, seeded, good enough for jitter and simulations; not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return {
    next() {
      state = (state + 0x6d2b79f5) >>> 0
      let t = state
      t = Math.imul(t ^ (t >>> 15), t | 1)
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296
    },
  }
}

export const systemRandom: Random = { next: () => Math.random() }

/** Unguessable id of 32 hexadecimal digits, for event ids, tokens and pod uids. */
export function randomId(): string {
  return randomBytes(16).toString('hex')
}
