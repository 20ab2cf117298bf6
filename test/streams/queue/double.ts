import type { DetachedState } from '../../../src/contract/delivery.ts'
import type { Backlog, Start } from '../../../src/contract/feed.ts'
import { type Appended, DURABLE } from '../../../src/contract/stream.ts'
import type { CloudEvent } from '../../../src/event/event.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import {
  Lapsed,
  type QueueConsumer,
  type QueueMessage,
  type QueueSink,
  type QueueSubscription,
} from '../../../src/sources/queue/consumer.ts'
import { decodeState, encodeState } from '../../../src/sources/queue/state.ts'
import type { Complaint } from '../../../src/sources/queue/health.ts'
import type { QueueOrder, QueueSystem } from '../../../src/streams/queue/system.ts'

/** A message of the double: it stands for one delivery of it. */
export interface DoubleMessage extends QueueMessage {
  readonly token: number
}

interface Stored {
  readonly id: string
  readonly event: CloudEvent | null
  readonly atMs: number
  readonly state: string
  deliveries: number
}

/** What a queue does wrong, or not at all, at the moment. */
export interface Troubles {
  /** Nothing is handed over, acknowledged or renewed. */
  away: boolean
  /** Acknowledgements are taken and forgotten: an error comes back. */
  losesAcks: boolean
  /** Nothing can be stored for later. */
  delaysNothing: boolean
  /** Calls `ready` resolves only when told. */
  holdReady: (() => void)[] | null
  /** Publishing is answered only when told. */
  holdPublish: (() => void)[] | null
  /** Publishing ends with this. */
  refuses: Appended | null
  seekFails: Error | null
}

/** One place in the double's server: what is ready, and what was handed over and is not acknowledged. */
class Place {
  readonly ready: Stored[] = []
  readonly out = new Map<number, { readonly message: Stored; untilMs: number; readonly by: ConsumerDouble }>()
  readonly consumers = new Set<ConsumerDouble>()

  /** Comes again before what is new, in the order it was published. */
  back(m: Stored): void {
    const i = this.ready.findIndex((r) => Number(r.id) > Number(m.id))
    this.ready.splice(i < 0 ? this.ready.length : i, 0, m)
  }
}

/** A message system in memory that outlives the gateway: a log, and a place a subscription. */
export class ServerDouble {
  readonly clock: Clock
  readonly log: Stored[] = []
  readonly places = new Map<string, Place>()
  readonly trouble: Troubles = {
    away: false,
    losesAcks: false,
    delaysNothing: false,
    holdReady: null,
    holdPublish: null,
    refuses: null,
    seekFails: null,
  }
  leaseMs = 0
  maxDeliveries = 0
  ids = true
  seeks = true
  /** A consumer that is asked for quiet hands over one message more. */
  lateOnes = false
  /** Most messages a consumer asks for at once. */
  prefetch = 256
  readonly acknowledged: string[] = []
  readonly acknowledgeCalls: number[] = []
  readonly released: string[] = []
  renewals = 0
  #next = 1
  #token = 1

  constructor(clock: Clock) {
    this.clock = clock
  }

  place(name: string): Place {
    let place = this.places.get(name)
    if (place === undefined) this.places.set(name, (place = new Place()))
    return place
  }

  publish(event: CloudEvent | null): void {
    const at = { id: String(this.#next++), event, atMs: this.clock.wall(), state: '' }
    this.log.push({ ...at, deliveries: 0 })
    for (const [name, place] of this.places) {
      if (name.endsWith('/due')) continue
      place.ready.push({ ...at, deliveries: 0 })
      this.serve(place)
    }
  }

  store(name: string, event: CloudEvent, state: DetachedState): void {
    const place = this.place(name)
    const message = { id: String(this.#next++), event, atMs: this.clock.wall(), state: encodeState(state), deliveries: 0 }
    this.clock.after(Math.max(0, state.dueMs - this.clock.wall()), () => {
      place.ready.push(message)
      this.serve(place)
    })
  }

  from(place: Place, start: Start): void {
    if (start.at === 'committed') return this.from(place, start.otherwise)
    const from = {
      earliest: () => true,
      latest: () => false,
      time: (m: Stored) => start.at === 'time' && m.atMs >= start.timeMs,
      position: (m: Stored) => start.at === 'position' && Number(m.id) >= start.position,
    }[start.at]
    place.ready.push(...this.log.filter(from).map((m) => ({ ...m, deliveries: 0 })))
  }

  serve(place: Place): void {
    for (const consumer of place.consumers) consumer.serve()
  }

  take(place: Place, by: ConsumerDouble): DoubleMessage | undefined {
    const message = place.ready.shift()
    if (message === undefined) return undefined
    const token = this.#token++
    const untilMs = this.leaseMs === 0 ? 0 : this.clock.now() + this.leaseMs
    place.out.set(token, { message, untilMs, by })
    const { event, state } = message
    return {
      token,
      id: this.ids ? message.id : '',
      redelivery: message.deliveries++,
      event,
      undecodable: event === null ? { raw: Buffer.from([0, 255, 7]), headers: [['h', 'v']], why: 'no event' } : null,
      state: state === '' ? null : decodeState(state),
      bytes: 256 + (event?.data?.length ?? 0),
      leaseUntilMs: untilMs,
    }
  }

  /** Leases that are over give their messages to whoever asks. */
  expire(): void {
    for (const place of this.places.values()) {
      for (const [token, { message, untilMs }] of place.out) {
        if (untilMs === 0 || untilMs > this.clock.now()) continue
        place.out.delete(token)
        place.back(message)
      }
      this.serve(place)
    }
  }

  /** Every connection ends; `forgotten`: what was handed over comes again. */
  drop(forgotten: boolean): void {
    for (const place of this.places.values()) {
      for (const c of place.consumers) c.sink?.lost(forgotten)
      if (!forgotten) continue
      for (const [token, { message }] of place.out) {
        place.out.delete(token)
        place.back(message)
      }
    }
  }

  /** Back after `away`. */
  back(): void {
    this.trouble.away = false
    for (const place of this.places.values()) this.serve(place)
  }
}

export class ConsumerDouble implements QueueConsumer<DoubleMessage> {
  readonly #server: ServerDouble
  readonly #place: Place
  sink: QueueSink<DoubleMessage> | null = null
  closed = false
  #serving = false

  constructor(server: ServerDouble, place: Place) {
    this.#server = server
    this.#place = place
  }

  start(sink: QueueSink<DoubleMessage>): void {
    this.sink = sink
    this.#place.consumers.add(this)
    this.pump()
  }

  pump(): void {
    if (this.#serving) return
    this.#serving = true
    setImmediate(() => {
      this.#serving = false
      this.serve()
    })
  }

  serve(): void {
    const { trouble, prefetch } = this.#server
    if (this.sink === null || this.closed || trouble.away) return
    for (;;) {
      const room = Math.min(this.sink.room(), prefetch)
      const found: DoubleMessage[] = []
      while (found.length < room) {
        const m = this.#server.take(this.#place, this)
        if (m === undefined) break
        found.push(m)
      }
      if (found.length === 0) return
      this.sink.taken(found)
    }
  }

  acknowledge(messages: readonly DoubleMessage[], done: (answers: readonly (Error | null)[] | null) => void): void {
    const { trouble, acknowledged, acknowledgeCalls, clock } = this.#server
    acknowledgeCalls.push(messages.length)
    clock.soon(() => {
      if (trouble.away || trouble.losesAcks) return done(messages.map(() => new Error('connection lost')))
      let all = true
      const answers = messages.map((m) => {
        const known = this.#place.out.delete(m.token)
        if (known) acknowledged.push(m.event?.id ?? '')
        else all = false
        return known ? null : new Lapsed('somebody else has it')
      })
      done(all ? null : answers)
    })
  }

  release(m: DoubleMessage): void {
    const out = this.#place.out.get(m.token)
    if (out === undefined || this.#server.trouble.away) return
    this.#server.released.push(m.event?.id ?? '')
    this.#place.out.delete(m.token)
    this.#place.back(out.message)
    setImmediate(() => this.#server.serve(this.#place))
  }

  extend(m: DoubleMessage): Promise<number> {
    const out = this.#place.out.get(m.token)
    if (this.#server.trouble.away) return Promise.reject(new Error('connection lost'))
    if (out === undefined) return Promise.reject(new Lapsed('somebody else has it'))
    this.#server.renewals++
    out.untilMs = this.#server.clock.now() + this.#server.leaseMs
    return Promise.resolve(out.untilMs)
  }

  quiesce(): Promise<void> {
    if (this.#server.lateOnes) {
      this.#server.lateOnes = false
      const late = this.#server.take(this.#place, this)
      if (late !== undefined) this.sink?.taken([late])
    }
    return Promise.resolve()
  }

  close(): Promise<void> {
    this.closed = true
    this.#place.consumers.delete(this)
    for (const [token, { message, by }] of this.#place.out) {
      if (by !== this) continue
      this.#place.out.delete(token)
      this.#place.back(message)
    }
    return Promise.resolve()
  }
}

/** One gateway's link to the server. */
export class SystemDouble implements QueueSystem<DoubleMessage> {
  readonly #server: ServerDouble
  readonly orders: QueueOrder[] = []
  complaint: Complaint | undefined = undefined
  away: Complaint | undefined = undefined
  closed = false

  constructor(server: ServerDouble) {
    this.#server = server
  }

  publish(events: readonly CloudEvent[], done: (r: Appended) => void): void {
    const { trouble } = this.#server
    const answer = (): void => {
      if (trouble.refuses !== null) return done(trouble.refuses)
      if (trouble.away) return done({ kind: 'unavailable', retryAfterMs: 1_000, why: 'the server is away' })
      for (const e of events) this.#server.publish(e)
      done(DURABLE)
    }
    if (trouble.holdPublish === null) setImmediate(answer)
    else trouble.holdPublish.push(answer)
  }

  subscribe(key: string, from: Start, order: QueueOrder): QueueSubscription<DoubleMessage> {
    const server = this.#server
    this.orders.push(order)
    const known = server.places.has(key)
    const place = server.place(key)
    if (!known || from.at !== 'committed') {
      place.ready.length = 0
      server.from(place, from)
    }
    const due = server.place(`${key}/due`)
    const seek = (to: Start): Promise<void> => {
      if (server.trouble.seekFails !== null) return Promise.reject(server.trouble.seekFails)
      place.ready.length = 0
      place.out.clear()
      server.from(place, to)
      return Promise.resolve()
    }
    return {
      ...(server.seeks ? { seek } : {}),
      consumers: [new ConsumerDouble(server, place), new ConsumerDouble(server, due)],
      ready: () =>
        new Promise((resolve) => (server.trouble.holdReady === null ? resolve() : server.trouble.holdReady.push(resolve))),
      backlog: (): Backlog => ({
        events: place.ready.length + due.ready.length,
        exact: false,
        oldestMs: place.ready[0]?.atMs ?? 0,
      }),
      maxDeliveries: server.maxDeliveries,
      delay(event, state, done) {
        if (server.trouble.delaysNothing || server.trouble.away) return done(false)
        server.store(`${key}/due`, event, state)
        setImmediate(() => done(true))
      },
    }
  }

  forget(key: string): boolean {
    this.#server.places.delete(`${key}/due`)
    return this.#server.places.delete(key)
  }

  close(): Promise<void> {
    this.closed = true
    return Promise.resolve()
  }
}
