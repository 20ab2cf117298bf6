import type { CloudEvent } from '../event/event.ts'
import type { DecodedHttp } from '../event/http.ts'
import { binaryHeaders, decodeHttp } from '../event/http.ts'
import type { Observer } from '../contract/observer.ts'
import type { Outcome } from '../contract/outcome.ts'
import type { Appended } from '../contract/stream.ts'
import { DURABLE } from '../contract/stream.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Answer, RefusalCode } from './answers.ts'
import { ACCEPTED, isRefusalCode, refusal, retryAfter } from './answers.ts'
import type { Bodies, BodyFault, BodyReceiver } from './body.ts'
import { Dedup, nameOf } from './dedup.ts'
import type { StreamDestination, TargetDestination } from './destination.ts'
import type { Exchange } from './http-server.ts'

export interface EventDeskOptions {
  readonly clock: Clock
  readonly observer: Observer
  readonly bodies: Bodies
  /** Events in one batch. */
  readonly maxBatchEvents: number
}

type EventDestination = StreamDestination | TargetDestination

/** A target has no queue of its own and a stream that is full says how long; both fall back to this. */
const RETRY_MS = 1_000

/** Windows that nothing is remembered in are dropped this often. */
const FORGET_MS = 10_000

/**
 * Takes events in: read → decode → (dedup) → append → 202. Per shard.
 * The observer hears `received` or `deduplicated` for every event that gets a 202, `accepted` once for all of its request, and
 * `refused` for every request that gets none: what arrived is the sum of received, deduplicated and refused.
 */
export class EventDesk {
  readonly clock: Clock
  readonly observer: Observer
  readonly bodies: Bodies
  readonly maxBatchEvents: number
  readonly #windows = new Map<number, Dedup>()
  readonly #forget: { cancel(): void }

  constructor(o: EventDeskOptions) {
    this.clock = o.clock
    this.observer = o.observer
    this.bodies = o.bodies
    this.maxBatchEvents = o.maxBatchEvents
    this.#forget = o.clock.every(FORGET_MS, () => {
      for (const [id, window] of this.#windows) {
        window.forget()
        if (window.empty) this.#windows.delete(id)
      }
    })
  }

  /** A POST for a stream or a target. */
  take(x: Exchange, to: EventDestination): void {
    const encoding = x.headers.get('content-encoding')
    if (encoding !== undefined && encoding !== '' && encoding.toLowerCase() !== 'identity') {
      const why = `the content encoding "${encoding.slice(0, 40)}" is not known here: send the event without one`
      this.refuse(x, to, refusal('ingress.media-type', why))
      return
    }
    this.bodies.read(x, to.maxEventBytes, new Acceptance(this, x, to))
  }

  refuse(x: Exchange, to: EventDestination, r: Answer & { readonly code: RefusalCode }): void {
    this.observer.refused(to.id, r.code)
    this.bodies.refuse(x, r)
  }

  /** The window of an address, which outlives its routes; null = not looked for. */
  windowOf(to: EventDestination): Dedup | null {
    if (to.kind !== 'stream' || to.dedupWindowMs === 0) return null
    let window = this.#windows.get(to.id)
    if (window === undefined) this.#windows.set(to.id, (window = new Dedup(this.clock, to.dedupWindowMs)))
    window.windowMs = to.dedupWindowMs
    return window
  }

  close(): void {
    this.#forget.cancel()
  }
}

/** One request with events, from its body to its answer. */
class Acceptance implements BodyReceiver {
  readonly #desk: EventDesk
  readonly #x: Exchange
  readonly #to: EventDestination
  readonly #sinceMs: number
  #bytes = 0

  constructor(desk: EventDesk, x: Exchange, to: EventDestination) {
    this.#desk = desk
    this.#x = x
    this.#to = to
    this.#sinceMs = desk.clock.now()
  }

  fault(why: BodyFault): Answer {
    const r = faultRefusal(why, this.#to.maxEventBytes)
    this.#desk.observer.refused(this.#to.id, r.code)
    return r
  }

  body(bytes: Uint8Array | null): void {
    this.#bytes = bytes === null ? 0 : bytes.length
    const desk = this.#desk
    const decoded: DecodedHttp = decodeHttp(this.#x.headers, bytes, {
      mostEvents: desk.maxBatchEvents,
      receivedMs: desk.clock.wall(),
    })
    if (decoded.kind === 'none') return this.#refuse('ingress.bad-event', NO_EVENT)
    if (decoded.kind === 'bad') {
      const status = decoded.code === 'ingress.loop' ? 400 : undefined
      return this.#refuse(isRefusalCode(decoded.code) ? decoded.code : 'ingress.bad-event', decoded.message, [], status)
    }
    const to = this.#to
    if (to.kind === 'target') return this.#deliver(decoded.events, to)
    const window = desk.windowOf(to)
    if (window !== null) return this.#appendNew(decoded.events, to, window)
    // An empty batch is valid and has nothing to store. JSON format 1.0.2 §4
    if (decoded.events.length === 0) return this.#stored(decoded.events, DURABLE)
    to.append(decoded.events, (r) => this.#stored(decoded.events, r))
  }

  #stored(events: readonly CloudEvent[], r: Appended): void {
    if (r.kind !== 'durable') return this.#notStored(r)
    this.#accepted(events, NO_EVENTS)
    this.#answer(ACCEPTED)
  }

  #accepted(fresh: readonly CloudEvent[], repeats: readonly CloudEvent[]): void {
    const { observer, clock } = this.#desk
    const at = this.#to.id
    for (let i = 0; i < fresh.length; i++) observer.received(at, fresh[i] as CloudEvent)
    for (let i = 0; i < repeats.length; i++) observer.deduplicated(at, repeats[i] as CloudEvent)
    observer.accepted(at, fresh.length + repeats.length, clock.now() - this.#sinceMs)
  }

  /** Appends what is new in the window; answers when that and every repeat that is still on its way is durable. */
  #appendNew(events: readonly CloudEvent[], to: StreamDestination, window: Dedup): void {
    const fresh: CloudEvent[] = []
    const names: string[] = []
    const repeats: CloudEvent[] = []
    let waiting = 1
    let worst: Appended = DURABLE
    const one = (r: Appended): void => {
      if (r.kind !== 'durable') worst = r
      if (--waiting > 0) return
      if (worst.kind !== 'durable') return this.#notStored(worst)
      this.#accepted(fresh, repeats)
      this.#answer(ACCEPTED)
    }
    for (const e of events) {
      const name = nameOf(e)
      const known = window.begin(name, one)
      if (known === 'new') {
        fresh.push(e)
        names.push(name)
        continue
      }
      repeats.push(e)
      if (known === 'waits') waiting++
    }
    if (fresh.length === 0) return one(DURABLE)
    to.append(fresh, (r) => {
      const durable = r.kind === 'partial' ? r.durable : 0
      names.forEach((name, i) => window.end(name, i < durable ? DURABLE : r))
      one(r)
    })
  }

  #notStored(r: Exclude<Appended, { kind: 'durable' }>): void {
    if (r.kind === 'partial') {
      const why = `only the first ${r.durable} events of the batch could be stored: send the whole batch again`
      return this.#refuse('ingress.unavailable', why, retryAfter(RETRY_MS))
    }
    if (r.kind === 'too-large') {
      return this.#refuse('ingress.too-large', `the event is over the limit of the stream, ${r.limitBytes} bytes`)
    }
    this.#refuse(`ingress.${r.kind}`, r.why, retryAfter(r.retryAfterMs))
  }

  /** Without a stream in between nothing is durable here: the producer gets what the target said. */
  #deliver(events: readonly CloudEvent[], to: TargetDestination): void {
    let running = events.length
    let worst: Outcome | null = null
    if (running === 0) return this.#stored(events, DURABLE)
    for (const e of events) {
      to.deliver(e, (o) => {
        if (worst === null || badness(o) > badness(worst)) worst = o
        if (--running === 0) this.#delivered(events, worst)
      })
    }
  }

  #delivered(events: readonly CloudEvent[], o: Outcome): void {
    if (o.kind === 'accepted') {
      this.#accepted(events, NO_EVENTS)
      const reply = events.length === 1 ? o.reply : undefined
      if (reply === undefined) this.#answer(ACCEPTED)
      else this.#reply(reply)
    } else if (o.kind === 'rejected') {
      const status = o.status >= 400 && o.status < 500 ? o.status : 502
      this.#refuse('ingress.bad-request', `the target refused the event: ${o.why}`, [], status)
    } else if (o.kind === 'pending') {
      this.#refuse('ingress.unavailable', 'the target answers later, but nobody waits here', retryAfter(RETRY_MS))
    } else {
      const wait = retryAfter(o.retryAfterMs ?? RETRY_MS)
      this.#refuse(o.status === 429 ? 'ingress.full' : 'ingress.unavailable', `the target did not take the event: ${o.why}`, wait)
    }
  }

  #reply(e: CloudEvent): void {
    this.#desk.bodies.release(this.#bytes)
    this.#x.answer(200, binaryHeaders(e), e.data, false)
  }

  #refuse(code: RefusalCode, message: string, more: readonly string[] = [], status?: number): void {
    this.#desk.observer.refused(this.#to.id, code)
    this.#answer(refusal(code, message, more, status))
  }

  #answer(a: Answer): void {
    this.#desk.bodies.release(this.#bytes)
    this.#x.answer(a.status, a.headers, a.body, false)
  }
}

const NO_EVENTS: readonly CloudEvent[] = []

const NO_EVENT =
  'the request is no CloudEvent: "specversion" is missing (send ce-specversion, ce-id, ce-source and ce-type as headers, or a JSON event as application/cloudevents+json)'

const BADNESS = { accepted: 0, pending: 1, rejected: 2, retryable: 3 } as const
function badness(o: Outcome): number {
  return BADNESS[o.kind]
}

export function faultRefusal(why: BodyFault, limitBytes: number): Answer & { readonly code: RefusalCode } {
  if (why === 'too-large') return refusal('ingress.too-large', `the body is over the limit of ${limitBytes} bytes`)
  if (why === 'slow') return refusal('ingress.slow', 'the body came too slowly: send it in one go')
  return refusal('ingress.full', 'too many bodies are being read at the moment: send it again', retryAfter(RETRY_MS))
}
