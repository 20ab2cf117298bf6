import { describe, expect, test } from 'vitest'
import { RocketMqError } from '../../../src/vendor/rocketmq/errors.ts'
import { BROKER, message, messages, rig, turn } from './double.ts'

const texts = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `e${from + i}`)

describe('what is received', () => {
  test('is offered in order and acknowledged only when it is settled', async () => {
    const { clock, rocketMq, intake } = await rig()
    rocketMq.put(messages(0, 3))
    await clock.pass(100)
    expect(intake.texts()).toEqual(['e0', 'e1', 'e2'])
    expect(rocketMq.acknowledged).toEqual([])
    intake.settle(intake.offered[1]!)
    await clock.pass(10)
    expect(rocketMq.acknowledged).toEqual(['h1'])
    intake.settleAll()
    await intake.feed!.flush(new AbortController().signal)
    expect(rocketMq.acknowledged).toEqual(['h1', 'h0', 'h2'])
  })

  test('is what there is room for: a full lane is not read on, and goes on where it stood', async () => {
    const { clock, rocketMq, intake } = await rig((i) => (i.room = () => 5))
    rocketMq.put(messages(0, 1000))
    await clock.pass(1_000)
    expect(intake.texts()).toEqual(texts(0, 5))
    // One receive was under way: what it brought waits here, nothing more is asked for.
    expect(rocketMq.stock).toBe(1000 - 32)
    expect(rocketMq.asked).toBe(0)
    expect(intake.feed!.backlog(1)).toEqual({ events: 27, exact: false, oldestMs: 0 })
    intake.room = () => Infinity
    intake.onOffer = (d) => intake.settle(d)
    intake.settleAll()
    intake.feed!.resume(1, 0)
    await clock.pass(1_000)
    expect(intake.texts()).toEqual(texts(0, 1000))
    expect(rocketMq.acknowledged.length).toBe(1000)
  })

  test('never exceeds what may be held, receives under way included', async () => {
    const { clock, rocketMq, intake } = await rig(undefined, { mostHeld: 100 })
    rocketMq.put(messages(0, 500))
    await clock.pass(1_000)
    expect(intake.offered.length).toBe(100)
    expect(rocketMq.asked).toBe(0)
    for (const d of intake.offered.slice(0, 10)) intake.settle(d)
    await clock.pass(1_000)
    expect(rocketMq.acknowledged.length).toBe(10)
  })

  test('is received by several receives while there is much, by one while there is nothing', async () => {
    const { clock, rocketMq, intake } = await rig((i) => (i.onOffer = (d) => i.settle(d)))
    expect(rocketMq.waiting.length).toBe(1)
    rocketMq.put(messages(0, 1024))
    await clock.pass(100)
    expect(intake.offered.length).toBe(1024)
    expect(rocketMq.waiting.length).toBe(8)
    for (let i = 0; i < 20; i++) {
      rocketMq.waiting.shift()?.resolve([])
      await turn()
    }
    expect(rocketMq.waiting.length).toBe(1)
  })

  test('comes in smaller batches where messages are large', async () => {
    const { rocketMq } = await rig((i) => (i.onOffer = (d) => i.settle(d)))
    rocketMq.put([message(0, { body: Buffer.alloc(1 << 20) })])
    await turn()
    expect(rocketMq.waiting.map((w) => w.most)).toEqual([1])
  })

  test('is wrapped when it is a plain message, with tag, keys and properties, and counted as RocketMQ counts', async () => {
    const { rocketMq, intake } = await rig(undefined, { extensions: { team: 'blue' } })
    rocketMq.put([message(0, { tag: 't', keys: 'k', properties: { Order: '7' }, attempt: 3 })])
    await turn()
    const [d] = intake.offered
    expect(d!.redelivery).toBe(2)
    expect({ ...d!.event, data: null }).toMatchObject({ id: 'm0', source: 'mq/orders', type: 'dev.knative.rocketmq.event' })
    expect(Object.fromEntries(d!.event.extensions)).toEqual({
      rocketmqtag: 't',
      rocketmqkeys: 'k',
      rocketmqpropertyorder: '7',
      team: 'blue',
    })
  })

  test('is taken as it stands when it is a CloudEvent, its message group the key that orders it', async () => {
    const { rocketMq, intake } = await rig()
    const properties = { CE_specversion: '1.0', CE_id: 'x', CE_source: '/s', CE_type: 't', __SHARDINGKEY: 'group-1' }
    rocketMq.put([message(0, { properties })])
    await turn()
    expect(intake.offered[0]!.event).toMatchObject({ id: 'x', source: '/s', type: 't' })
    expect(intake.offered[0]!.event.envelope.key).toBe('group-1')
  })

  test('is parked as it came when its body cannot be read, and holds up nobody', async () => {
    const { clock, rocketMq, intake } = await rig()
    rocketMq.put([message(0, { unreadable: 'no gzip', properties: { a: 'b' } }), message(1)])
    await turn()
    expect(intake.bad).toEqual([{ lane: 0, at: 1, bad: { raw: Buffer.from('e0'), headers: [['a', 'b']], why: 'no gzip' } }])
    expect(intake.texts()).toEqual(['e1'])
    intake.feed!.settle({ ...intake.offered[0]!, position: 1 }, 'parked')
    await clock.pass(10)
    expect(rocketMq.acknowledged).toEqual(['h0'])
  })

  test('is acknowledged at once when the subscription does not want it', async () => {
    const { clock, rocketMq, intake } = await rig((i) => (i.wants = (e) => e.id !== 'm0'))
    rocketMq.put(messages(0, 2))
    await clock.pass(10)
    expect(intake.texts()).toEqual(['e1'])
    expect(rocketMq.acknowledged).toEqual(['h0'])
  })
})

describe('a lease', () => {
  test('is renewed while its message waits or is attempted, and the newest handle acknowledges', async () => {
    const { clock, rocketMq, intake } = await rig((i) => (i.room = () => 1))
    rocketMq.put(messages(0, 2))
    await clock.pass(9_000)
    expect(rocketMq.changes).toEqual([])
    await clock.pass(3_000)
    expect(rocketMq.changes).toEqual([
      { id: 'm0', handle: 'h0', ms: 20_000 },
      { id: 'm1', handle: 'h1', ms: 20_000 },
    ])
    await clock.pass(10_000)
    expect(rocketMq.changes.length).toBe(4)
    intake.settleAll()
    await clock.pass(10)
    expect(rocketMq.acknowledged).toEqual([`h0''`])
    await clock.pass(30_000)
    expect(rocketMq.changes.filter((c) => c.id === 'm0').length).toBe(2)
  })

  test('that is being renewed when its message is settled is acknowledged with the handle that comes', async () => {
    const { clock, rocketMq, intake } = await rig()
    rocketMq.put([message(0)])
    rocketMq.holdChanges = []
    await clock.pass(12_000)
    intake.settleAll()
    await clock.pass(100)
    expect(rocketMq.acknowledged).toEqual([])
    for (const go of rocketMq.holdChanges.splice(0)) go()
    await clock.pass(100)
    expect(rocketMq.acknowledged).toEqual([`h0'`])
  })

  test('that lapsed brings the message again: it keeps its place and is not offered twice', async () => {
    const { clock, rocketMq, intake } = await rig()
    rocketMq.put([message(0)])
    await turn()
    rocketMq.put([message(0, { handle: 'again', attempt: 2 })])
    await turn()
    expect(intake.offered.length).toBe(1)
    intake.settleAll()
    await clock.pass(10)
    expect(rocketMq.acknowledged).toEqual(['again'])
  })

  test('is given up at once when the delivery is handed back', async () => {
    const { rocketMq, intake } = await rig()
    rocketMq.put([message(0)])
    await turn()
    intake.handBack(intake.offered[0]!)
    expect(rocketMq.changes).toEqual([{ id: 'm0', handle: 'h0', ms: 1_000 }])
    rocketMq.put([message(0, { handle: 'h9', attempt: 2 })])
    await turn()
    expect(intake.offered.map((d) => d.redelivery)).toEqual([0, 1])
  })

  test('of everything unsettled is given up on close, unread messages included', async () => {
    const { clock, rocketMq, intake, source } = await rig((i) => (i.room = () => 1))
    rocketMq.put(messages(0, 3))
    await turn()
    const closing = source.close(AbortSignal.timeout(5_000))
    await clock.pass(10)
    await closing
    expect(rocketMq.changes.map((c) => c.id).toSorted()).toEqual(['m0', 'm1', 'm2'])
    expect(rocketMq.closed).toBe(true)
    expect(rocketMq.waiting).toEqual([])
    expect(intake.offered.length).toBe(1)
    expect(source.status()).toEqual({ phase: 'stopped' })
  })
})

describe('an acknowledgement', () => {
  test('that does not arrive is repeated, and the message is not delivered twice when it comes again', async () => {
    const { clock, rocketMq, intake, source } = await rig((i) => (i.onOffer = (d) => i.settle(d)))
    rocketMq.put([message(0), message(1)])
    rocketMq.die()
    await clock.pass(3_000)
    expect(source.status()).toMatchObject({ phase: 'degraded', reason: 'RocketMQUnreachable' })
    await clock.pass(30_000)
    expect(intake.offered.length).toBe(2)
    rocketMq.back()
    await clock.pass(10_000)
    expect(source.status()).toEqual({ phase: 'ready' })
    rocketMq.put([message(0, { handle: 'again', attempt: 2 })])
    await clock.pass(1_000)
    expect(rocketMq.acknowledged).toContain('again')
    expect(intake.offered.length).toBe(2)
  })

  test('that RocketMQ lost is said again; a group that was rewound sees its messages anew', async () => {
    const { clock, rocketMq, intake } = await rig((i) => (i.onOffer = (d) => i.settle(d)))
    rocketMq.put([message(0)])
    await clock.pass(10)
    rocketMq.put([message(0, { handle: 'lost', attempt: 2 })])
    await clock.pass(10)
    expect(rocketMq.acknowledged).toEqual(['h0', 'lost'])
    expect(intake.offered.length).toBe(1)
    rocketMq.put([message(0, { handle: 'rewound', attempt: 1 })])
    await clock.pass(10)
    expect(intake.offered.length).toBe(2)
  })
})

describe('the limit of deliveries (retryMaxTimes)', () => {
  test('is met before RocketMQ strikes: the last delivery ends here', async () => {
    const { rocketMq, intake } = await rig((_, r) => (r.joined = { ...r.joined, maxAttempts: 4 }))
    rocketMq.put([message(0, { attempt: 3 }), message(1, { attempt: 4 })])
    await turn()
    expect(intake.offered.map((d) => d.phase)).toEqual(['subscriber', 'dead-letter'])
    expect(intake.offered[1]!.story).toMatchObject([{ attempt: 4, status: 0 }])
    expect(intake.offered[1]!.story[0]!.error).toContain('%DLQ%g')
  })

  test('gives up nothing that was never delivered before, and is told when it is low', async () => {
    const { rocketMq, intake, lines } = await rig((_, r) => (r.joined = { ...r.joined, maxAttempts: 1 }))
    rocketMq.put([message(0)])
    await turn()
    expect(intake.offered.map((d) => d.phase)).toEqual(['subscriber'])
    expect(lines.some((line) => line.includes('raise retryMaxTimes'))).toBe(true)
  })
})

describe('the session', () => {
  test('tells what is missing, goes on trying, and is ready when it is there', async () => {
    const missing = new RocketMqError('TopicMissing', 'no route')
    const { clock, rocketMq, source, lines } = await rig((_, r) => (r.trouble = missing))
    expect(source.status()).toEqual({
      phase: 'degraded',
      reason: 'TopicMissing',
      message: 'the topic orders is missing; it has to be created first: no route',
    })
    await clock.pass(60_000)
    expect(rocketMq.joins).toBeGreaterThan(10)
    expect(rocketMq.joins).toBeLessThan(25)
    expect(lines.filter((line) => line.includes('degraded')).length).toBe(1)
    rocketMq.back()
    await clock.pass(6_000)
    expect(source.status()).toEqual({ phase: 'ready' })
  })

  test('whose receives are refused is not well because it could join: one line in the log, one status', async () => {
    const { clock, rocketMq, source, lines } = await rig()
    const refuse = (): void => {
      for (const w of rocketMq.waiting.splice(0)) w.reject(new RocketMqError('FilterInvalid', 'no SQL'))
    }
    for (let i = 0; i < 5; i++) {
      refuse()
      await turn()
      expect(source.status()).toEqual({ phase: 'degraded', reason: 'FilterInvalid', message: 'no SQL' })
      await clock.pass(6_000)
    }
    expect(rocketMq.joins).toBe(6)
    expect(lines.filter((line) => line.includes('degraded')).length).toBe(1)
    rocketMq.put(messages(0, 1))
    await clock.pass(10)
    expect(source.status()).toEqual({ phase: 'ready' })
  })

  test('that the proxy ended is begun anew, and what is held stays', async () => {
    const { clock, rocketMq, intake, source } = await rig()
    rocketMq.put([message(0)])
    await turn()
    rocketMq.lost(new RocketMqError('RocketMQUnreachable', 'closed'))
    expect(source.status().phase).toBe('degraded')
    await clock.pass(1_000)
    expect(rocketMq.joins).toBe(2)
    expect(source.status()).toEqual({ phase: 'ready' })
    intake.settleAll()
    await clock.pass(10)
    expect(rocketMq.acknowledged).toEqual(['h0'])
  })

  test('of a FIFO group receives one message at a time, of many queues at once', async () => {
    const { clock, rocketMq, intake } = await rig((i, r) => {
      i.onOffer = (d) => i.settle(d)
      r.joined = { ...r.joined, fifo: true, fifoTopic: true }
    })
    expect(rocketMq.waiting.map((w) => w.most)).toEqual([1])
    rocketMq.put(messages(0, 100))
    await clock.pass(100)
    expect(intake.texts()).toEqual(texts(0, 100))
    expect(rocketMq.waiting.every((w) => w.most === 1)).toBe(true)
    expect(rocketMq.waiting.length).toBe(32)
  })

  test('follows the brokers of the topic', async () => {
    const { clock, rocketMq } = await rig()
    rocketMq.joined = { ...rocketMq.joined, brokers: [BROKER, { name: 'b', target: '127.0.0.1:8082' }] }
    await clock.pass(31_000)
    expect(rocketMq.joins).toBe(2)
    expect(rocketMq.waiting.length).toBe(2)
    expect(rocketMq.heartbeats).toBeGreaterThanOrEqual(2)
  })
})

describe('with a name server', () => {
  test('the group is set back: what is held is acknowledged behind it, and everything comes again', async () => {
    const { clock, rocketMq, intake, admin } = await rig(undefined, { nameServers: ['n:9876'] })
    rocketMq.put(messages(0, 3))
    await clock.pass(100)
    intake.settle(intake.offered[0]!)
    await clock.pass(10)
    const acknowledged = (): number => rocketMq.acknowledged.length
    let before = 0
    admin.onPlace = () => {
      before = acknowledged()
      expect(rocketMq.asked).toBe(0)
    }
    await intake.feed!.seek(1, { at: 'earliest' })
    expect([before, acknowledged()]).toEqual([1, 3])
    expect(admin.places.get('g orders')).toBe('earliest')
    for (const d of intake.offered) intake.feed!.settle(d, 'delivered')
    rocketMq.put(messages(0, 3))
    await clock.pass(100)
    expect(intake.texts()).toEqual(['e0', 'e1', 'e2', 'e0', 'e1', 'e2'])
    expect(acknowledged()).toBe(3)
  })

  test('a refused seek leaves everything with the group, and is told', async () => {
    const { clock, rocketMq, intake, admin } = await rig(undefined, { nameServers: ['n:9876'] })
    rocketMq.put(messages(0, 2))
    await clock.pass(100)
    admin.trouble = new RocketMqError('Unauthorized', 'not an administrator')
    await expect(intake.feed!.seek(1, { at: 'earliest' })).rejects.toThrow('not an administrator')
    await clock.pass(100)
    expect(rocketMq.acknowledged).toEqual([])
    expect(rocketMq.changes.map((c) => c.id)).toEqual(['m0', 'm1'])
    expect(rocketMq.asked).toBeGreaterThan(0)
  })

  test('what is unread is counted, exactly where the group reads everything', async () => {
    const { clock, intake, admin } = await rig(undefined, { nameServers: ['n:9876'] })
    admin.unread = [{ broker: 'a', queue: 0, end: 9, next: 4, readMs: 77 }]
    await clock.pass(6_000)
    expect(intake.feed!.backlog(1)).toEqual({ events: 5, exact: true, oldestMs: 77 })
    expect(intake.feed!.can).toMatchObject({ seek: true, exactBacklog: true })
    const tagged = await rig(undefined, { nameServers: ['n:9876'], filter: { kind: 'tag', expression: 'a' } })
    expect(tagged.intake.feed!.can).toMatchObject({ seek: true, exactBacklog: false })
  })

  test('without one a seek is refused, and says what to write', async () => {
    const { intake } = await rig()
    await expect(intake.feed!.seek(1, { at: 'earliest' })).rejects.toThrow('namesrvAddr, port 9876')
  })
})
