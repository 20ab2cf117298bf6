import type { Delivery, Settlement } from '../contract/delivery.ts'
import type { Key } from '../contract/ids.ts'
import type { Names } from '../contract/names.ts'
import { SILENT, type Observer } from '../contract/observer.ts'
import type { Outcome } from '../contract/outcome.ts'
import type { CloudEvent } from '../event/event.ts'
import type { Clock } from '../runtime/clock.ts'

/** One attempt as the journal remembers it. `atMs` is wall clock, of its end. */
export interface JournalAttempt {
  readonly attempt: number
  readonly atMs: number
  readonly waitedMs: number
  readonly tookMs: number
  readonly target: Key
  readonly pod: string
  readonly outcome: Outcome['kind']
  /** 0 = no response. */
  readonly status: number
  readonly why: string
}

/** What happened to one event at one subscription. Times are wall clock. */
export interface JournalDelivery {
  readonly subscription: Key
  readonly offeredMs: number
  /** Where it is: `waiting`, `asking` for a credit, `resting` before a retry, or how it ended. */
  state: 'waiting' | 'asking' | 'resting' | Settlement
  sinceMs: number
  /** When the next attempt is due while it rests or is detached, else 0. */
  dueMs: number
  /** The last `MOST_ATTEMPTS`. */
  readonly attempts: JournalAttempt[]
  /** Ids of the reply events it led to. */
  readonly replies: string[]
  /** Why a filter expression failed on it, or why it went no further. */
  note: string
}

export interface JournalEntry {
  /** Without its data where that is over `MOST_DATA_BYTES`. */
  readonly event: CloudEvent
  readonly dataLeftOut: boolean
  /** Streams it was stored in, with the time. */
  readonly streams: { readonly stream: Key; readonly atMs: number }[]
  /** Times it came again within the dedup window and was not stored. */
  repeats: number
  readonly deliveries: Map<Key, JournalDelivery>
  bytes: number
  failed: boolean
}

/** What happened to events lately; an observer like any other. Bounded in events and bytes, per gateway. */
export interface Journal {
  readonly observer: Observer
  /** Events of this id, whatever their source; the newest last. */
  find(id: string): readonly JournalEntry[]
  /** One event of so many is remembered at the moment, unless it fails. */
  oneOf(): number
  size(): { readonly events: number; readonly bytes: number }
}

export interface JournalParts {
  readonly names: Names
  readonly clock: Clock
  readonly mostEvents?: number
  readonly mostBytes?: number
}

/** Half for what went well, half for what failed: the one never pushes out the other. */
const MOST_EVENTS = 10_000
const MOST_BYTES = 16 << 20
export const MOST_DATA_BYTES = 16 << 10
const MOST_ATTEMPTS = 50
const MOST_DELIVERIES = 200
/**
 * New events a second over which only every second, fourth, … is remembered. What is remembered outlives a collection of
 * garbage: at 250 a second each took 5 ms instead of one.
 */
const HOT_EVENTS = 50
const ENTRY_BYTES = 600
const ATTEMPT_BYTES = 200

/**
 * Whether an event is remembered is decided by its id alone, so that all hooks agree without looking anything up: on a hot
 * path most events cost one short hash a hook. What fails is taken up from the moment it fails.
 */
export function createJournal({ names, clock, mostEvents = MOST_EVENTS, mostBytes = MOST_BYTES }: JournalParts): Journal {
  const shelves = { well: new Shelf(mostEvents / 2, mostBytes / 2), failed: new Shelf(mostEvents / 2, mostBytes / 2) }
  /** Those in memory that are remembered, so that most hooks are one look by identity. */
  const running = new Map<Delivery, JournalDelivery>()
  let mask = 0
  let openedThisSecond = 0
  clock.every(1_000, () => {
    if (openedThisSecond < HOT_EVENTS / 2 && mask > 0) mask >>>= 1
    openedThisSecond = 0
  })

  const wants = (e: CloudEvent): boolean => mask === 0 || (hashOf(e.id) & mask) === 0
  const known = (e: CloudEvent): JournalEntry | undefined => {
    const name = nameOf(e)
    return shelves.well.get(name) ?? shelves.failed.get(name)
  }
  const entryOf = (e: CloudEvent): JournalEntry => {
    const found = known(e)
    if (found !== undefined) return found
    if (++openedThisSecond > HOT_EVENTS) {
      mask = mask * 2 + 1
      openedThisSecond = 0
    }
    const entry = entryFor(e)
    shelves.well.put(nameOf(e), entry)
    return entry
  }
  const deliveryOf = (entry: JournalEntry, d: Pick<Delivery, 'sub'>): JournalDelivery => {
    const key = names.sub(d.sub)
    let delivery = entry.deliveries.get(key)
    if (delivery === undefined) {
      const nowMs = clock.wall()
      delivery = {
        subscription: key,
        offeredMs: nowMs,
        state: 'waiting',
        sinceMs: nowMs,
        dueMs: 0,
        attempts: [],
        replies: [],
        note: '',
      }
      if (entry.deliveries.size < MOST_DELIVERIES) entry.deliveries.set(key, delivery)
    }
    return delivery
  }
  const fails = (d: Delivery): JournalDelivery => {
    const entry = entryOf(d.event)
    const delivery = deliveryOf(entry, d)
    running.set(d, delivery)
    if (!entry.failed) {
      entry.failed = true
      shelves.well.take(nameOf(d.event))
      shelves.failed.put(nameOf(d.event), entry)
    }
    // An earlier process may have made attempts of which only the story is left.
    if (delivery.attempts.length === 0) for (const s of d.story) delivery.attempts.push(told(s))
    return delivery
  }
  const goes = (delivery: JournalDelivery | undefined, state: JournalDelivery['state'], dueMs = 0): void => {
    if (delivery === undefined) return
    delivery.state = state
    delivery.sinceMs = clock.wall()
    delivery.dueMs = dueMs
  }

  const observer: Observer = {
    ...SILENT,
    appended(stream, _events, _bytes, _ms, what) {
      for (let i = 0; i < what.length; i++) {
        const e = what[i] as CloudEvent
        if (wants(e)) entryOf(e).streams.push({ stream: names.stream(stream), atMs: clock.wall() })
      }
    },
    deduplicated(_at, e) {
      const entry = wants(e) ? known(e) : undefined
      if (entry !== undefined) entry.repeats++
    },
    matched(d) {
      if (wants(d.event)) running.set(d, deliveryOf(entryOf(d.event), d))
    },
    restored(d) {
      goes(fails(d), 'waiting')
    },
    waiting(d) {
      goes(running.get(d), 'asking')
    },
    attempted(d, attempt, pod, outcome, waitMs, ms, target) {
      const delivery = outcome.kind === 'accepted' ? running.get(d) : fails(d)
      if (delivery === undefined) return
      if (delivery.attempts.length === MOST_ATTEMPTS) delivery.attempts.shift()
      const status = outcome.kind === 'pending' ? 202 : outcome.status
      const why = outcome.kind === 'accepted' ? (outcome.badReply ?? '') : outcome.kind === 'pending' ? '' : outcome.why
      const times = { atMs: clock.wall(), waitedMs: Math.round(waitMs), tookMs: Math.round(ms) }
      delivery.attempts.push({ attempt, ...times, target: names.target(target), pod, outcome: outcome.kind, status, why })
    },
    retrying(d, _retry, delayMs) {
      goes(fails(d), 'resting', clock.wall() + delayMs)
    },
    replied(d, e) {
      const delivery = running.get(d)
      if (delivery !== undefined && delivery.replies.length < MOST_ATTEMPTS) delivery.replies.push(e.id)
    },
    looped(d, why) {
      fails(d).note = why
    },
    filterFailed(sub, e, why) {
      if (wants(e)) deliveryOf(entryOf(e), { sub }).note = why
    },
    settled(d, how) {
      const well = how === 'delivered' || how === 'filtered' || how === 'handed-back'
      const delivery = well ? running.get(d) : fails(d)
      goes(delivery, how, how === 'detached' ? (delivery?.dueMs ?? 0) : 0)
      running.delete(d)
    },
  }
  return {
    observer,
    find: (id) => [...shelves.well.withId(id), ...shelves.failed.withId(id)],
    oneOf: () => mask + 1,
    size: () => ({
      events: shelves.well.events + shelves.failed.events,
      bytes: shelves.well.bytes + shelves.failed.bytes,
    }),
  }
}

/** Entries in the order they were opened; the oldest go first. */
class Shelf {
  readonly #byName = new Map<string, JournalEntry>()
  readonly #mostEvents: number
  readonly #mostBytes: number
  bytes = 0

  constructor(mostEvents: number, mostBytes: number) {
    this.#mostEvents = mostEvents
    this.#mostBytes = mostBytes
  }
  get events(): number {
    return this.#byName.size
  }
  get(name: string): JournalEntry | undefined {
    return this.#byName.get(name)
  }
  put(name: string, entry: JournalEntry): void {
    this.#byName.set(name, entry)
    this.bytes += entry.bytes
    for (const [oldest] of this.#byName) {
      if (this.#byName.size <= this.#mostEvents && this.bytes <= this.#mostBytes) break
      this.take(oldest)
    }
  }
  take(name: string): void {
    const entry = this.#byName.get(name)
    if (entry === undefined) return
    this.#byName.delete(name)
    this.bytes -= entry.bytes
  }
  withId(id: string): JournalEntry[] {
    return [...this.#byName.values()].filter((entry) => entry.event.id === id)
  }
}

function entryFor(e: CloudEvent): JournalEntry {
  const size = e.data?.length ?? 0
  const dataLeftOut = size > MOST_DATA_BYTES
  // Copied, because the data is a slice of a buffer that would be held with it.
  const event = e.with({ data: e.data === null || dataLeftOut ? null : Uint8Array.from(e.data) })
  const attributes = e.id.length + e.source.length + e.type.length + e.extensions.length * 64
  // What is told later is counted from the beginning: an entry that grew need not be weighed again.
  const bytes = ENTRY_BYTES + 2 * attributes + (dataLeftOut ? 0 : size) + 4 * ATTEMPT_BYTES
  return { event, dataLeftOut, streams: [], repeats: 0, deliveries: new Map(), bytes, failed: false }
}

function told(s: Delivery['story'][number]): JournalAttempt {
  const outcome = s.status >= 400 && s.status < 500 && s.status !== 429 ? 'rejected' : 'retryable'
  const { attempt, atMs, tookMs, to, status, error } = s
  return { attempt, atMs: atMs + tookMs, waitedMs: 0, tookMs, target: to, pod: '', outcome, status, why: error }
}

function nameOf(e: CloudEvent): string {
  return `${e.source}\n${e.id}`
}

/** FNV-1a of the end of an id, where ids differ. */
function hashOf(id: string): number {
  let h = id.length
  for (let i = Math.max(0, id.length - 8); i < id.length; i++) h = Math.imul(h ^ id.charCodeAt(i), 0x01000193)
  return h ^ (h >>> 15)
}
