import { afterEach, describe, expect, test } from 'vitest'
import type { Start } from '../../../src/contract/feed.ts'
import type { Appended } from '../../../src/contract/stream.ts'
import type { CloudEvent } from '../../../src/event/event.ts'
import { SILENT_LOG } from '../../../src/runtime/log.ts'
import type { QueueSink } from '../../../src/sources/queue/consumer.ts'
import type { HeldMessage } from '../../../src/sources/rocketmq/member.ts'
import { messageOf } from '../../../src/streams/rocketmq/message.ts'
import type { RocketMqStreamSettings } from '../../../src/streams/rocketmq/settings.ts'
import type { RocketMqSubscription } from '../../../src/streams/rocketmq/subscription.ts'
import { RocketMqSystem } from '../../../src/streams/rocketmq/system.ts'
import type { ConsumerSettings } from '../../../src/vendor/rocketmq/consumer.ts'
import { RocketMqError, type RocketMqReason } from '../../../src/vendor/rocketmq/errors.ts'
import { ConsumerDouble, TestClock, turn } from '../../sources/rocketmq/double.ts'
import { event, events } from '../rig.ts'
import { AdminDouble, ProducerDouble, received, STATE } from './double.ts'

const SETTINGS: RocketMqStreamSettings = {
  endpoints: ['p:8081'],
  nameServers: ['n:9876'],
  nameServersTls: false,
  cluster: '',
  credentials: null,
  tls: null,
  instanceNamespace: '',
  topic: 't',
  type: 'NORMAL',
  queues: 8,
  instance: '/stream',
}
const KEY = 'trigger/default/x'
const GROUP = 't-trigger_default_x'
const LATEST: Start = { at: 'latest' }
const soon = (): AbortSignal => AbortSignal.timeout(5_000)
const trouble = (reason: RocketMqReason): RocketMqError => new RocketMqError(reason, `because of ${reason}`)

class Sink implements QueueSink<HeldMessage> {
  readonly came: HeldMessage[] = []
  room(): number {
    return 100
  }
  taken(messages: readonly HeldMessage[]): void {
    this.came.push(...messages)
  }
  lost(): void {}
}

class Rig {
  readonly clock = new TestClock()
  readonly admin = new AdminDouble()
  readonly producer = new ProducerDouble()
  /** By topic. */
  readonly consumers = new Map<string, ConsumerDouble & { readonly settings?: ConsumerSettings }>()
  readonly opened: ConsumerSettings[] = []
  readonly system: RocketMqSystem

  constructor(change: Partial<RocketMqStreamSettings> = {}, prepare: (r: Rig) => void = () => {}) {
    prepare(this)
    this.system = new RocketMqSystem({
      settings: { ...SETTINGS, ...change },
      clock: this.clock,
      random: { next: () => 0.5 },
      log: SILENT_LOG,
      vendor: {
        producer: () => this.producer,
        admin: () => this.admin,
        consumer: (settings) => {
          this.opened.push(settings)
          const c = this.consumers.get(settings.topic) ?? new ConsumerDouble()
          this.consumers.set(settings.topic, c)
          return c
        },
      },
    })
    rigs.push(this)
  }

  publish(list: readonly CloudEvent[]): Promise<Appended> {
    return new Promise((resolve) => this.system.publish(list, resolve))
  }

  /** Subscribed and started; what comes new and what was due come to the sinks. */
  async subscribe(from = LATEST): Promise<{ s: RocketMqSubscription; fresh: Sink; due: Sink }> {
    const s = this.system.subscribe(KEY, from, 'unordered')
    const [fresh, due] = [new Sink(), new Sink()]
    s.consumers[0]?.start(fresh)
    s.consumers[1]?.start(due)
    await turn()
    await this.clock.pass(0)
    return { s, fresh, due }
  }
}

const rigs: Rig[] = []
afterEach(async () => {
  for (const r of rigs.splice(0)) await r.system.close(soon())
})

describe('publishing', () => {
  test('puts what comes together into one call, and tells each append of itself', async () => {
    const r = new Rig()
    const results = await Promise.all([r.publish(events(2)), r.publish(events(3, 2)), r.publish(events(300, 5))])
    expect(results.map((x) => x.kind)).toEqual(['durable', 'durable', 'durable'])
    expect(r.producer.calls.map((c) => c.length)).toEqual([128, 128, 49])
    expect(r.producer.sent.map((m) => m.properties['CE_id'])).toEqual(events(305).map((e) => e.id))
  })

  test('sends calls of a MiB at most, and one at a time where one queue keeps an order', async () => {
    const r = new Rig({ queues: 1 }, ({ producer }) => (producer.hold = []))
    const done = r.publish(Array.from({ length: 5 }, (_, i) => event(`b${i}`, { data: Buffer.alloc(400_000, 'x') })))
    await turn()
    expect(r.producer.calls.map((c) => c.length)).toEqual([2])
    const { hold } = r.producer
    for (let i = 0; i < 3; i++) {
      hold?.shift()?.()
      await turn()
    }
    expect((await done).kind).toBe('durable')
    expect(r.producer.calls.map((c) => c.length)).toEqual([2, 2, 1])
  })

  test('sends single messages with their groups to a FIFO topic', async () => {
    const r = new Rig({ type: 'FIFO' })
    await r.publish([event('a', { extensions: [['partitionkey', 'red']] }), event('b')])
    expect(r.producer.calls.map((c) => c.map((m) => m.group))).toEqual([['red'], ['b']])
  })

  test('refuses what is over the limit of the proxy, and only that where it was one of many', async () => {
    const r = new Rig()
    r.producer.mostBodyBytes = 100
    const big = event('big', { data: Buffer.alloc(101) })
    expect(await r.publish([big])).toEqual({ kind: 'too-large', limitBytes: 100 })
    r.producer.trouble = (m) => (m.some(({ properties }) => properties['CE_id'] === 'bad') ? trouble('RocketMQFailed') : null)
    const results = await Promise.all([r.publish(events(2)), r.publish([event('bad')]), r.publish([event('e9')])])
    expect(results.map((x) => x.kind)).toEqual(['durable', 'unavailable', 'durable'])
  })

  test('is unavailable while RocketMQ is, and complains until it is not', async () => {
    const r = new Rig()
    await turn()
    r.producer.trouble = () => trouble('RocketMQUnreachable')
    expect(await r.publish(events(1))).toMatchObject({ kind: 'unavailable', why: 'because of RocketMQUnreachable' })
    expect(r.system.complaint).toMatchObject({ reason: 'RocketMQUnreachable' })
    await r.clock.pass(5_000)
    expect(r.system.complaint).toBeDefined()
    r.producer.trouble = () => null
    // Nobody publishes: it is looked for all the same.
    await r.clock.pass(2_000)
    expect(r.system.complaint).toBeUndefined()
    expect((await r.publish(events(1))).kind).toBe('durable')
  })

  test('ends before it is closed', async () => {
    const r = new Rig({}, ({ producer }) => (producer.hold = []))
    const done = r.publish(events(1))
    await turn()
    const closed = r.system.close(soon())
    await turn()
    expect(r.producer.closed).toBe(false)
    r.producer.hold?.shift()?.()
    await closed
    expect((await done).kind).toBe('durable')
    expect(r.producer.closed && r.admin.closed).toBe(true)
  })
})

describe('what is missing', () => {
  test('is made: topics at once, groups with a place that was asked for', async () => {
    const r = new Rig({ type: 'FIFO' })
    const { s } = await r.subscribe({ at: 'committed', otherwise: { at: 'time', timeMs: 7 } })
    await s.ready(soon())
    expect(Object.fromEntries(r.admin.topics)).toEqual({ t: 'FIFO', 't-retry': 'DELAY' })
    expect(r.admin.made.get(GROUP)).toEqual({ retryMaxTimes: 1_000_000, fifo: false })
    expect(Object.fromEntries(r.admin.places)).toEqual({ [`${GROUP} t`]: { timeMs: 7 }, [`${GROUP}-retry t-retry`]: 'latest' })
  })

  test('is tried again, and nothing is received before it is there', async () => {
    const r = new Rig({}, ({ admin }) => (admin.trouble = trouble('Unauthorized')))
    const { s } = await r.subscribe()
    await r.clock.pass(1_000)
    expect(r.system.complaint).toMatchObject({ reason: 'Unauthorized' })
    expect(r.consumers.get('t')?.joins).toBe(0)
    expect(r.system.away).toMatchObject({ reason: 'Unauthorized' })
    r.admin.trouble = null
    await r.clock.pass(10_000)
    await s.ready(soon())
    expect(r.system.away).toBeUndefined()
    expect(r.consumers.get('t')?.joins).toBe(1)
    expect(r.system.complaint).toBeUndefined()
  })

  test('is looked for in vain for ten seconds; then the proxy is tried without', async () => {
    const r = new Rig({}, ({ admin }) => (admin.trouble = trouble('RocketMQUnreachable')))
    await r.clock.pass(9_000)
    expect(r.system.away).toMatchObject({ reason: 'RocketMQUnreachable' })
    await r.clock.pass(2_000)
    expect(r.system.away).toBeUndefined()
    expect((await r.publish(events(1))).kind).toBe('durable')
  })

  test('a group that is there goes on; one that RocketMQ gives up early for is raised', async () => {
    const r = new Rig({}, ({ admin }) => {
      admin.made.set(GROUP, { retryMaxTimes: 3, fifo: false })
      admin.places.set(`${GROUP} t`, 'earliest')
    })
    const { s } = await r.subscribe()
    await s.ready(soon())
    expect(r.admin.made.get(GROUP)?.retryMaxTimes).toBe(1_000_000)
    expect(r.admin.places.get(`${GROUP} t`)).toBe('earliest')
  })

  test('is said in a sentence where nobody told where the name servers are', async () => {
    const r = new Rig({ nameServers: [] })
    const consumer = new ConsumerDouble()
    consumer.trouble = trouble('GroupMissing')
    r.consumers.set('t', consumer)
    const { s } = await r.subscribe()
    expect(s.seek).toBeUndefined()
    expect(r.system.complaint?.message).toContain(`the consumer group ${GROUP} is missing, make it first, or say where the name`)
    r.producer.trouble = () => trouble('TopicMissing')
    expect(await r.publish(events(1))).toMatchObject({ why: expect.stringContaining('make it first') as string })
    let begun = false
    void s.ready(soon()).then(() => (begun = true))
    await r.clock.pass(1_000)
    expect(begun).toBe(false)
    consumer.trouble = null
    await r.clock.pass(10_000)
    expect(begun).toBe(true)
  })
})

describe('what waits long', () => {
  test('is a delayed message of its subscription, due at the whole second after, or in 23 hours at most', async () => {
    const r = new Rig()
    const { s } = await r.subscribe()
    const delay = (dueMs: number): Promise<boolean> => new Promise((resolve) => s.delay(event('e'), { ...STATE, dueMs }, resolve))
    const nowMs = r.clock.wall()
    expect(await delay(nowMs + 4_200)).toBe(true)
    expect(await delay(nowMs - 5)).toBe(true)
    await delay(nowMs + 100 * 3_600_000)
    expect(r.producer.sent.map((m) => m.deliverAtMs - nowMs)).toEqual([6_000, 1_000, 23 * 3_600_000 + 1_000])
    expect(r.producer.sent[0]).toMatchObject({ topic: 't-retry', tag: GROUP })
    r.producer.trouble = () => trouble('Throttled')
    expect(await delay(nowMs)).toBe(false)
  })

  test('comes back with its state; what is early waits on, what is another subscription’s is only acknowledged', async () => {
    const r = new Rig()
    const { due } = await r.subscribe()
    expect(r.opened.map((o) => [o.topic, o.group, o.filter.expression])).toEqual([
      ['t', GROUP, '*'],
      ['t-retry', `${GROUP}-retry`, GROUP],
    ])
    const dueMs = r.clock.wall()
    const out = (id: string, tag: string, inMs: number): ReturnType<typeof messageOf> =>
      messageOf(event(id), { topic: 't-retry', tag, state: { ...STATE, dueMs: dueMs + inMs } })
    const consumer = r.consumers.get('t-retry')
    consumer?.put([
      received(out('mine', GROUP, 0), 1),
      received(out('other', 'somebody', 0), 2),
      received(out('early', GROUP, 9_000), 3),
    ])
    await r.clock.pass(10)
    expect(due.came.map((m) => m.event?.id)).toEqual(['mine'])
    expect(due.came[0]?.state).toEqual({ ...STATE, dueMs })
    expect(consumer?.acknowledged).toEqual(['h2', 'h3'])
    expect(r.producer.sent.map((m) => m.properties['CE_id'])).toEqual(['early'])
  })
})

describe('reading anew', () => {
  test('begins there, and hands over nothing from before', async () => {
    const r = new Rig()
    const { s, fresh } = await r.subscribe()
    const consumer = r.consumers.get('t')
    consumer?.put([received(messageOf(event('e1'), { topic: 't' }), 1)])
    await r.clock.pass(10)
    expect(fresh.came).toHaveLength(1)
    let placed = (): void => {}
    const place = r.admin.place.bind(r.admin)
    r.admin.place = async (...args) => {
      await new Promise<void>((resolve) => (placed = resolve))
      await place(...args)
    }
    const sought = s.seek?.({ at: 'earliest' })
    await r.clock.pass(10)
    expect(consumer?.asked).toBe(0)
    placed()
    await sought
    expect(r.admin.places.get(`${GROUP} t`)).toBe('earliest')
    await r.clock.pass(10)
    expect(consumer?.asked).toBeGreaterThan(0)
    await expect(s.seek?.({ at: 'position', position: 1 })).rejects.toThrow('not from a position')
  })
})

describe('the backlog', () => {
  test('is what the group has not been handed, asked for every few seconds', async () => {
    const r = new Rig()
    const { s } = await r.subscribe()
    expect(s.backlog()).toEqual({ events: 0, exact: true, oldestMs: 0 })
    r.admin.unread = [
      { broker: 'a', queue: 0, end: 9, next: 4, readMs: 77 },
      { broker: 'a', queue: 1, end: 3, next: 3, readMs: 5 },
    ]
    await r.clock.pass(5_000)
    expect(s.backlog()).toEqual({ events: 5, exact: true, oldestMs: 77 })
    r.admin.trouble = trouble('RocketMQUnreachable')
    await r.clock.pass(5_000)
    expect(s.backlog()).toMatchObject({ events: 5, exact: false })
  })

  test('is asked for every two seconds, however often somebody reads it', async () => {
    const r = new Rig()
    const { s } = await r.subscribe()
    r.admin.unread = [{ broker: 'a', queue: 0, end: 9, next: 4, readMs: 77 }]
    for (let i = 0; i < 19; i++) {
      await r.clock.pass(100)
      expect(s.backlog().events).toBe(0)
    }
    await r.clock.pass(200)
    expect(s.backlog().events).toBe(5)
  })
})

describe('a subscription that is gone', () => {
  test('leaves no group behind, and is known after a restart', async () => {
    const r = new Rig({}, ({ admin }) => admin.made.set('t-trigger_default_old', { retryMaxTimes: 1, fifo: false }))
    await r.subscribe()
    await r.clock.pass(10)
    for (const key of [KEY, 'trigger/default/old']) expect(r.system.forget(key)).toBe(true)
    for (const key of [KEY, 'trigger/default/nobody']) expect(r.system.forget(key)).toBe(false)
    await turn()
    expect(r.admin.deleted.toSorted()).toEqual(['t-trigger_default_old', 't-trigger_default_old-retry', GROUP, `${GROUP}-retry`])
  })

  test('is gone before one of its name begins anew', async () => {
    const r = new Rig()
    await r.subscribe()
    await r.clock.pass(10)
    let deleted = (): void => {}
    r.admin.deleteGroup = (name) =>
      new Promise((resolve) => {
        if (name !== GROUP) return resolve()
        deleted = () => {
          r.admin.made.delete(GROUP)
          resolve()
        }
      })
    expect(r.system.forget(KEY)).toBe(true)
    const { s } = await r.subscribe()
    let begun = false
    void s.ready(soon()).then(() => (begun = true))
    await r.clock.pass(1_000)
    expect(begun).toBe(false)
    deleted()
    await r.clock.pass(1_000)
    expect(begun).toBe(true)
    expect(r.admin.made.has(GROUP)).toBe(true)
  })

  test('complains no more when it is closed', async () => {
    const r = new Rig()
    const { s } = await r.subscribe()
    r.consumers.get('t')?.die()
    await r.clock.pass(10)
    expect(r.system.complaint).toMatchObject({ reason: 'RocketMQUnreachable' })
    await s.consumers[0]?.close(soon())
    expect(r.system.complaint).toBeUndefined()
  })
})
