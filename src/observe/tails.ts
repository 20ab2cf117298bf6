import type { Key } from '../contract/ids.ts'
import type { Names } from '../contract/names.ts'
import { SILENT, type Observer } from '../contract/observer.ts'
import type { CloudEvent } from '../event/event.ts'
import { encodeStructured } from '../event/json.ts'
import type { Clock } from '../runtime/clock.ts'
import { Fault } from '../runtime/errors.ts'

/** Live events for people who look on. The path only ever pushes to a bounded queue, or counts what it drops. */
export interface Tails {
  readonly observer: Observer
  /**
   * Lines of JSON: `{"following":[…]}` first, then `{"at","where","event"}`, and `{"dropped":N}` where the reader was too slow.
   * `keys` are streams and subscriptions; `matches` chooses. Ends when the signal aborts.
   */
  follow(keys: readonly Key[], matches: (e: CloudEvent) => boolean, signal: AbortSignal): AsyncGenerator<string, void, undefined>
  readonly followers: number
}

export interface TailsParts {
  readonly names: Names
  readonly clock: Clock
}

const MOST_FOLLOWERS = 16
/** What may wait for one follower. */
const MOST_QUEUED = 1_000
const MOST_QUEUED_BYTES = 8 << 20
/** Choosing and writing for one follower stops after this long and goes on in the next turn. */
const SLICE_MS = 1

interface Follower {
  readonly queue: { readonly where: Key; readonly atMs: number; readonly event: CloudEvent }[]
  bytes: number
  dropped: number
  wake: () => void
}

export function createTails({ names, clock }: TailsParts): Tails {
  const byKey = new Map<Key, Set<Follower>>()
  let followers = 0

  const tell = (where: Key, event: CloudEvent): void => {
    const all = byKey.get(where)
    if (all === undefined) return
    const bytes = event.data?.length ?? 0
    for (const f of all) {
      if (f.queue.length >= MOST_QUEUED || f.bytes + bytes > MOST_QUEUED_BYTES) {
        f.dropped++
        continue
      }
      f.queue.push({ where, atMs: clock.wall(), event })
      f.bytes += bytes
      if (f.queue.length === 1) f.wake()
    }
  }

  async function* lines(keys: readonly Key[], matches: (e: CloudEvent) => boolean, signal: AbortSignal): AsyncGenerator<string> {
    const follower: Follower = { queue: [], bytes: 0, dropped: 0, wake: () => {} }
    for (const key of keys) byKey.set(key, (byKey.get(key) ?? new Set()).add(follower))
    followers++
    const stop = (): void => follower.wake()
    signal.addEventListener('abort', stop)
    try {
      yield `${JSON.stringify({ following: keys })}\n`
      while (!signal.aborted) {
        const text = slice(follower, matches, clock)
        if (text !== '') yield text
        else if (follower.queue.length === 0) await new Promise<void>((resolve) => (follower.wake = resolve))
        await new Promise<void>((resolve) => clock.soon(resolve))
      }
    } finally {
      signal.removeEventListener('abort', stop)
      followers--
      for (const key of keys) {
        byKey.get(key)?.delete(follower)
        if (byKey.get(key)?.size === 0) byKey.delete(key)
      }
    }
  }

  return {
    observer: {
      ...SILENT,
      appended(stream, _events, _bytes, _ms, what) {
        if (byKey.size === 0) return
        const key = names.stream(stream)
        for (const e of what) tell(key, e)
      },
      matched(d) {
        if (byKey.size > 0) tell(names.sub(d.sub), d.event)
      },
    },
    follow(keys, matches, signal) {
      if (followers >= MOST_FOLLOWERS)
        throw new Fault(
          'admin.refused',
          `${followers} are following already, at most ${MOST_FOLLOWERS} may: end another one first`,
        )
      return lines(keys, matches, signal)
    },
    get followers() {
      return followers
    },
  }
}

/** What can be written of a queue within a slice of time. */
function slice(f: Follower, matches: (e: CloudEvent) => boolean, clock: Clock): string {
  const endMs = clock.now() + SLICE_MS
  let text = ''
  let done = 0
  for (const { where, atMs, event } of f.queue) {
    if (done > 0 && clock.now() >= endMs) break
    done++
    f.bytes -= event.data?.length ?? 0
    if (!matches(event)) continue
    const at = new Date(atMs).toISOString()
    text += `{"at":"${at}","where":${JSON.stringify(where)},"event":${Buffer.from(encodeStructured(event)).toString('utf8')}}\n`
  }
  f.queue.splice(0, done)
  if (f.dropped === 0) return text
  text += `${JSON.stringify({ dropped: f.dropped })}\n`
  f.dropped = 0
  return text
}
