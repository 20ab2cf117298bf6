import type { Random } from '../../runtime/random.ts'

/** What a scene is judged by: flowing load, load with gaps, jumps, work that was stored, or nothing (known weak spots). */
export type SceneGroup = 'flowing' | 'on-off' | 'jump' | 'stored' | 'beyond'

/** Work that lies in a stream from `atMs` on and asks for pods only through its number. */
export interface StoredWork {
  readonly atMs: number
  readonly events: number
}

/** A load, made once and given to every policy alike. Times ms from the start. */
export interface Scene {
  readonly name: string
  readonly group: SceneGroup
  readonly about: string
  /** When each request comes, rising. */
  readonly arrivalsMs: Float64Array
  /** How long each takes once it has a slot. */
  readonly serviceMs: Float32Array
  readonly stored: readonly StoredWork[]
  readonly storedServiceMs: number
  readonly endMs: number
  /** Slots of a pod. */
  readonly limit: number
  /** 0 = none. */
  readonly maxScale: number
}

/** Requests a second, one number a second; a Poisson process of that rate. */
export function poisson(ratesPerS: Float64Array | readonly number[], random: Random): Float64Array {
  let total = 0
  for (const rate of ratesPerS) total += rate
  let out = new Float64Array(Math.ceil(total * 1.05 + 10 * Math.sqrt(total) + 16))
  let n = 0
  let left = unit(random)
  for (let s = 0; s < ratesPerS.length; s++) {
    const rate = ratesPerS[s]!
    let used = 0
    while (left <= rate - used) {
      used += left
      if (n === out.length) {
        const grown = new Float64Array(n * 2)
        grown.set(out)
        out = grown
      }
      out[n++] = (s + used / rate) * 1000
      left = unit(random)
    }
    left -= rate - used
  }
  return out.slice(0, n)
}

/** Service times: lognormal with this mean and coefficient of variation (0 = all alike). */
export function lognormal(count: number, meanMs: number, variation: number, random: Random): Float32Array {
  const out = new Float32Array(count)
  const sigma = Math.sqrt(Math.log(1 + variation * variation))
  for (let i = 0; i < count; i++) out[i] = meanMs * (variation === 0 ? 1 : Math.exp(sigma * normal(random) - (sigma * sigma) / 2))
  return out
}

function unit(random: Random): number {
  return -Math.log(1 - random.next())
}

export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
}
