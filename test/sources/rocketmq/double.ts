import type { Start } from '../../../src/contract/feed.ts'
import type { Clock, Timer } from '../../../src/runtime/clock.ts'
import { createLog } from '../../../src/runtime/log.ts'
import type { Source } from '../../../src/contract/feed.ts'
import type { RocketMqSettings } from '../../../src/sources/rocketmq/settings.ts'
import { createRocketMqSource } from '../../../src/sources/rocketmq/source.ts'
import type { Broker, Handle, Joined, RocketMqConsumer } from '../../../src/vendor/rocketmq/consumer.ts'
import { RocketMqError } from '../../../src/vendor/rocketmq/errors.ts'
import type { ReceivedMessage } from '../../../src/vendor/rocketmq/messages.ts'
import { AdminDouble } from '../../streams/rocketmq/double.ts'
import { RecordingIntake } from '../kafka-intake.ts'

/** Time that passes only when told. */
export class TestClock implements Clock {
  #nowMs = 0
  #due: { readonly atMs: number; readonly f: () => void; off: boolean }[] = []

  now(): number {
    return this.#nowMs
  }
  wall(): number {
    return 1_700_000_000_000 + this.#nowMs
  }
  after(ms: number, f: () => void): Timer {
    const entry = { atMs: this.#nowMs + ms, f, off: false }
    this.#due.push(entry)
    return { cancel: () => void (entry.off = true) }
  }
  every(ms: number, f: () => void): Timer {
    let timer = { cancel(): void {} }
    let off = false
    const arm = (): void => {
      timer = this.after(ms, () => {
        if (off) return
        f()
        arm()
      })
    }
    arm()
    return {
      cancel() {
        off = true
        timer.cancel()
      },
    }
  }
  soon(f: () => void): void {
    setImmediate(f)
  }

  /** Lets time pass, in the order of what is due, and whatever promises follow from it. */
  async pass(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    for (;;) {
      await turn()
      this.#due.sort((a, b) => a.atMs - b.atMs)
      const next = this.#due[0]
      if (next === undefined || next.atMs > endMs) break
      this.#due.shift()
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      if (!next.off) next.f()
    }
    this.#nowMs = endMs
    await turn()
  }
}

/** All that is ready to run has run. */
export async function turn(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}

export const BROKER: Broker = { name: 'a', target: '127.0.0.1:8081' }

interface Waiting {
  readonly most: number
  readonly resolve: (found: readonly ReceivedMessage[]) => void
  readonly reject: (e: Error) => void
}

/** A RocketMQ that hands out what it is given and remembers what it was told. */
export class ConsumerDouble implements RocketMqConsumer {
  joined: Joined = { brokers: [BROKER], fifo: false, fifoTopic: false, maxAttempts: 17 }
  /** Why joining or receiving fails at the moment. */
  trouble: Error | null = null
  /** Why an acknowledgement or a change of the invisible time fails. */
  refusal: Error | null = null
  joins = 0
  heartbeats = 0
  closed = false
  readonly acknowledged: string[] = []
  readonly changes: { readonly id: string; readonly handle: string; readonly ms: number }[] = []
  readonly waiting: Waiting[] = []
  lost: (why: Error) => void = () => {}
  /** Held back changes of the invisible time, to be let go one by one. */
  holdChanges: (() => void)[] | null = null
  #stock: ReceivedMessage[] = []

  join(): Promise<Joined> {
    this.joins++
    return this.trouble === null ? Promise.resolve(this.joined) : Promise.reject(this.trouble)
  }
  brokers(): Promise<readonly Broker[]> {
    return Promise.resolve(this.joined.brokers)
  }
  onLost(f: (why: Error) => void): void {
    this.lost = f
  }
  heartbeat(): Promise<void> {
    this.heartbeats++
    return Promise.resolve()
  }
  receive(_from: Broker, most: number, _invisibleMs: number, signal: AbortSignal): Promise<readonly ReceivedMessage[]> {
    if (this.trouble !== null) return Promise.reject(this.trouble)
    return new Promise((resolve, reject) => {
      this.waiting.push({ most, resolve, reject })
      signal.addEventListener('abort', () => {
        const i = this.waiting.findIndex((w) => w.resolve === resolve)
        if (i >= 0) this.waiting.splice(i, 1)
        reject(new Error('cancelled'))
      })
      this.#serve()
    })
  }
  acknowledge(_at: Broker, messages: readonly Handle[]): Promise<readonly (Error | null)[]> {
    if (this.refusal !== null) return Promise.reject(this.refusal)
    this.acknowledged.push(...messages.map((m) => m.handle))
    return Promise.resolve(messages.map(() => null))
  }
  async changeInvisible(_at: Broker, m: Handle, ms: number): Promise<string> {
    this.changes.push({ id: m.messageId, handle: m.handle, ms })
    if (this.holdChanges !== null) await new Promise<void>((resolve) => this.holdChanges?.push(resolve))
    if (this.refusal !== null) throw this.refusal
    return `${m.handle}'`
  }
  close(): Promise<void> {
    this.closed = true
    return Promise.resolve()
  }

  /** Puts messages into the topic. */
  put(messages: readonly ReceivedMessage[]): void {
    this.#stock.push(...messages)
    this.#serve()
  }
  get stock(): number {
    return this.#stock.length
  }
  /** What all running receives ask for together. */
  get asked(): number {
    return this.waiting.reduce((sum, w) => sum + w.most, 0)
  }
  /** The proxy dies: every call under way fails, and those that follow. */
  die(): void {
    this.trouble = new RocketMqError('RocketMQUnreachable', 'connection refused')
    this.refusal = this.trouble
    for (const w of this.waiting.splice(0)) w.reject(this.trouble)
  }
  back(): void {
    this.trouble = null
    this.refusal = null
  }

  #serve(): void {
    while (this.#stock.length > 0) {
      const w = this.waiting.shift()
      if (w === undefined) return
      w.resolve(this.#stock.splice(0, w.most))
    }
  }
}

export function message(n: number, more: Partial<ReceivedMessage> = {}): ReceivedMessage {
  return {
    messageId: `m${n}`,
    topic: 'orders',
    tag: '',
    keys: '',
    properties: {},
    body: Buffer.from(`e${n}`),
    attempt: 1,
    handle: `h${n}`,
    bornMs: 0,
    unreadable: '',
    ...more,
  }
}

export const messages = (from: number, to: number): ReceivedMessage[] =>
  Array.from({ length: to - from }, (_, i) => message(from + i))

export interface Rig {
  readonly clock: TestClock
  readonly rocketMq: ConsumerDouble
  readonly intake: RecordingIntake
  readonly source: Source
  /** Asked where `nameServers` are set. */
  readonly admin: AdminDouble
  /** Log lines so far. */
  readonly lines: readonly string[]
}

export const SETTINGS: RocketMqSettings = {
  endpoints: ['127.0.0.1:8081'],
  topic: 'orders',
  group: 'g',
  filter: { kind: 'tag', expression: '*' },
  credentials: null,
  tls: null,
  instance: 'mq',
}

/** A source on a double, attached; `prepare` may change intake and double first. */
export async function rig(
  prepare: (i: RecordingIntake, r: ConsumerDouble) => void = () => {},
  settings: Partial<RocketMqSettings> = {},
): Promise<Rig> {
  const clock = new TestClock()
  const rocketMq = new ConsumerDouble()
  const intake = new RecordingIntake()
  intake.onOffer = () => {}
  prepare(intake, rocketMq)
  const lines: string[] = []
  const admin = new AdminDouble()
  const source = createRocketMqSource({
    plan: { key: 'rocketmqsource/default/orders', system: 'rocketmq', namespace: 'default', name: 'orders', settings: {} },
    settings: { ...SETTINGS, ...settings },
    clock,
    random: { next: () => 0.5 },
    log: createLog({ write: (line) => lines.push(line) > 0 }, 'info', () => 0),
    consumer: () => rocketMq,
    admin: () => admin,
  })
  const feed = source.open(intake, new AbortController().signal)
  intake.feed = feed
  const from: Start = { at: 'committed', otherwise: { at: 'earliest' } }
  feed.attach(1, 'rocketmqsource/default/orders', from)
  await turn()
  return { clock, rocketMq, intake, source, admin, lines }
}
