import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Start } from '../../src/contract/feed.ts'
import { Memberships } from '../../src/sources/kafka/memberships.ts'
import { COOPERATIVE_STICKY, encodeSubscription } from '../../src/vendor/kafka/assignment.ts'
import { joinGroup } from '../../src/vendor/kafka/calls.ts'
import { KafkaLink, parseBootstrap } from '../../src/vendor/kafka/link.ts'
import { kafkaTestClient, type KafkaTestClient, type TestRecord } from '../servers/kafka-clients.ts'
import { sharedKafka } from '../servers/provided.ts'
import type { RecordingIntake } from '../sources/kafka-intake.ts'
import { runSource, type RunningSource, type RunOptions } from '../sources/kafka-runner.ts'
import { until } from '../until.ts'

const kafka = sharedKafka()

const numbered = (from: number, to: number, partition?: number): TestRecord[] =>
  Array.from({ length: to - from }, (_, i) => ({
    value: Buffer.from(`e${from + i}`),
    ...(partition === undefined ? {} : { partition }),
  }))
const names = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `e${from + i}`)

describe.skipIf(kafka.skip)(`a Kafka source${kafka.note}`, () => {
  let client: KafkaTestClient
  const running: RunningSource[] = []
  beforeAll(() => {
    client = kafkaTestClient(kafka.bootstrap)
  })
  afterAll(() => client.close())
  afterEach(async () => {
    await Promise.all(running.splice(0).map((r) => r.close()))
  })

  const run = (
    topic: string,
    o: Partial<RunOptions> = {},
    prepare?: (i: RecordingIntake) => void,
    from?: Start,
    memberships?: Memberships,
  ): RunningSource => {
    const options = { bootstrapServers: [kafka.bootstrap], topics: [topic], consumerGroup: `group-${topic}`, ...o }
    const r = runSource(options, prepare, from, memberships)
    running.push(r)
    return r
  }
  const offers = (r: RunningSource, count: number): Promise<unknown> =>
    until(`${count} offers, there are ${r.intake.offered.length}`, () => r.intake.offered.length >= count)
  const committedUpTo = (topic: string, offset: number, partition = 0): Promise<unknown> =>
    until(`${offset} committed`, async () => (await client.committed(`group-${topic}`, topic)).get(partition)?.offset === offset)

  test('offers every record once, in the order of its partition, and goes on where it stopped', async () => {
    const topic = await client.createTopic('order', 4)
    for (let p = 0; p < 4; p++) await client.produce(topic, numbered(0, 500, p))
    const first = run(topic)
    await offers(first, 2000)
    expect(first.source.status()).toEqual({ phase: 'ready' })
    for (const lane of first.intake.lanes) expect(first.intake.texts(lane)).toEqual(names(0, 500))
    await first.close()
    expect([...(await client.committed(`group-${topic}`, topic)).values()].map((c) => c.offset)).toEqual([500, 500, 500, 500])
    await client.produce(topic, numbered(500, 510, 2))
    const second = run(topic)
    await offers(second, 10)
    expect(second.intake.texts()).toEqual(names(500, 510))
  })

  test('a lane that is full holds up nobody else, and goes on where it stood when it has room', async () => {
    const topic = await client.createTopic('gate', 4)
    let stuck = -1
    const r = run(topic, {}, (i) => {
      i.onOffer = (d) => {
        if (d.event.id.startsWith('partition:1/')) stuck = d.lane
        else i.settle(d)
      }
      i.room = (lane) => (lane === stuck ? 5 : Infinity)
    })
    for (let p = 0; p < 4; p++) await client.produce(topic, numbered(0, 1000, p))
    await offers(r, 3005)
    for (let i = 0; i < 5; i++) await client.produce(topic, numbered(1000 + i * 100, 1100 + i * 100, 0))
    await offers(r, 3505)
    expect(r.intake.texts(stuck)).toEqual(names(0, 5))
    expect(r.intake.offered.length).toBe(3505)
    await until('the others are committed', async () => (await client.committed(`group-${topic}`, topic)).get(0)?.offset === 1500)
    expect((await client.committed(`group-${topic}`, topic)).get(1)?.offset).toBe(0)
    r.intake.room = () => Infinity
    r.intake.onOffer = (d) => r.intake.settle(d)
    r.intake.settleAll()
    r.intake.feed?.resume(1, stuck)
    await offers(r, 4500)
    expect(r.intake.texts(stuck)).toEqual(names(0, 1000))
  })

  test('commits only what is contiguous, and what was settled above it is not offered again after a restart', async () => {
    const topic = await client.createTopic('runs', 1)
    await client.produce(topic, numbered(0, 100))
    const kept = new Set(['e7', 'e50', 'e51'])
    const first = run(topic, {}, (i) => {
      i.onOffer = (d) => {
        if (!kept.has(Buffer.from(d.event.data ?? []).toString())) i.settle(d)
      }
    })
    await offers(first, 100)
    await committedUpTo(topic, 7)
    await first.close()
    expect((await client.committed(`group-${topic}`, topic)).get(0)).toEqual({ offset: 7, metadata: 's1:1.16,2.1c' })
    await client.produce(topic, numbered(100, 103))
    const second = run(topic)
    await offers(second, 6)
    await committedUpTo(topic, 103)
    expect(second.intake.texts()).toEqual(['e7', 'e50', 'e51', 'e100', 'e101', 'e102'])
  })

  test('latest begins at the end, and that start is committed before anything is read', async () => {
    const topic = await client.createTopic('latest', 2)
    await client.produce(topic, numbered(0, 10, 0))
    const first = run(topic, { initialOffset: 'latest' }, (i) => {
      i.onOffer = () => {}
    })
    await until('ready', () => first.source.status().phase === 'ready')
    expect([...(await client.committed(`group-${topic}`, topic))].map(([, c]) => c.offset)).toEqual([10, 0])
    await client.produce(topic, numbered(10, 12, 0))
    await client.produce(topic, numbered(12, 14, 1))
    await offers(first, 4)
    await first.close()
    // Nothing of it was settled: all of it comes again, though `latest` would be behind it by now.
    const second = run(topic, { initialOffset: 'latest' })
    await offers(second, 4)
    expect(second.intake.texts().toSorted()).toEqual(names(10, 14))
  })

  test('begins at a time when told so', async () => {
    const topic = await client.createTopic('time', 1)
    await client.produce(topic, numbered(0, 5))
    await new Promise((resolve) => setTimeout(resolve, 30))
    const timeMs = Date.now()
    await client.produce(topic, numbered(5, 8))
    const r = run(topic, {}, undefined, { at: 'committed', otherwise: { at: 'time', timeMs } })
    await offers(r, 3)
    expect(r.intake.texts()).toEqual(names(5, 8))
  })

  test('wraps plain records as KafkaSource does, and passes CloudEvents unchanged, byte for byte', async () => {
    const topic = await client.createTopic('wrap', 1)
    const bytes = Buffer.from([0, 1, 255, 128, 10])
    await client.produce(topic, [
      {
        key: Buffer.from('k1'),
        value: bytes,
        headers: [
          ['X-Trace', 'a'],
          ['content-type', 'Application/X-Thing'],
        ],
      },
      { key: Buffer.from('k2') },
      { value: Buffer.alloc(0) },
      {
        key: Buffer.from('k3'),
        value: bytes,
        headers: [
          ['ce_specversion', '1.0'],
          ['ce_id', 'i1'],
          ['ce_source', '/s'],
          ['ce_type', 't'],
          ['ce_ext', 'x'],
        ],
      },
      {
        value: Buffer.from('v'),
        headers: [
          ['dup', '1'],
          ['dup', '2'],
          ['bin', Buffer.from([0xff, 0xfe])],
        ],
      },
    ])
    const r = run(topic, { extensions: { team: 'blue' } })
    await offers(r, 5)
    const [plain, tombstone, empty, event, odd] = r.intake.offered.map((d) => d.event)
    expect(plain).toMatchObject({
      id: 'partition:0/offset:0',
      subject: 'partition:0#0',
      source: `/apis/v1/namespaces/default/kafkasources/orders#${topic}`,
      type: 'dev.knative.kafka.event',
      datacontenttype: 'application/x-thing',
    })
    expect(Buffer.from(plain?.data ?? []).equals(bytes)).toBe(true)
    expect(Object.fromEntries(plain?.extensions ?? [])).toEqual({
      key: 'k1',
      partitionkey: 'k1',
      kafkaheaderxtrace: 'a',
      team: 'blue',
    })
    expect(plain?.envelope.key).toBe('k1')
    expect(tombstone?.data).toBeNull()
    expect(empty?.data).toHaveLength(0)
    expect(empty?.attribute('key')).toBeUndefined()
    expect(event).toMatchObject({ id: 'i1', source: '/s', type: 't' })
    expect(Object.fromEntries(event?.extensions ?? [])).toEqual({ ext: 'x', team: 'blue' })
    expect(Buffer.from(event?.data ?? []).equals(bytes)).toBe(true)
    expect(odd?.attribute('kafkaheaderdup')).toBe('2')
    expect(odd?.attribute('kafkaheaderbin')).toBe('��')
  })

  test.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)('reads %s', async (compression) => {
    const topic = await client.createTopic(`codec-${compression}`, 1)
    await client.produce(topic, numbered(0, 300), compression)
    await client.produce(topic, [{ value: Buffer.alloc(200_000, 'x') }], compression)
    const r = run(topic)
    await offers(r, 301)
    expect(r.intake.texts().slice(0, 300)).toEqual(names(0, 300))
    expect(r.intake.texts()[300]).toBe('x'.repeat(200_000))
  })

  test('a record larger than the fetch size comes through', async () => {
    const topic = await client.createTopic('large', 1)
    await client.produce(topic, [{ value: Buffer.alloc(900_000, 'y') }, { value: Buffer.from('after') }])
    const r = run(topic, { partitionFetchBytes: 1_000 })
    await offers(r, 2)
    expect(r.intake.texts()[0]).toHaveLength(900_000)
    expect(r.intake.texts()[1]).toBe('after')
  })

  test('offers nothing of aborted transactions, also of several in one fetch and of one whose end comes later', async () => {
    const topic = await client.createTopic('aborted', 1)
    const t = client.transactions(`tx-${topic}`)
    const one = async (commit: boolean, from: number, to: number): Promise<void> => {
      await t.begin()
      await t.send(topic, names(from, to))
      await t.end(commit)
    }
    await one(false, 0, 5)
    await one(true, 5, 10)
    await one(false, 10, 15)
    await one(false, 15, 20)
    await one(true, 20, 25)
    await t.begin()
    await t.send(topic, names(25, 30))
    await client.produce(topic, numbered(30, 33))
    const r = run(topic)
    await offers(r, 10)
    expect(r.intake.texts()).toEqual([...names(5, 10), ...names(20, 25)])
    await t.end(false)
    await offers(r, 13)
    expect(r.intake.texts()).toEqual([...names(5, 10), ...names(20, 25), ...names(30, 33)])
    // Markers and aborted records count as settled: 33 records and 6 markers.
    await committedUpTo(topic, 39)
    const all = run(topic, { isolation: 'read_uncommitted', consumerGroup: `all-${topic}` })
    await offers(all, 33)
    expect(all.intake.texts()).toEqual(names(0, 33))
    await t.close()
  })

  test('notices partitions and topics that appear, and reads them from their beginning', async () => {
    const topic = await client.createTopic('grow', 1)
    const r = run(topic, { metadataMs: 200, initialOffset: 'latest' })
    await until('ready', () => r.source.status().phase === 'ready')
    await client.addPartitions(topic, 3)
    await client.produce(topic, numbered(0, 5, 2))
    await offers(r, 5)
    expect(r.intake.texts()).toEqual(names(0, 5))
  })

  test('waits for a topic that is not there yet, and says so once', async () => {
    const missing = `missing-${randomUUID()}`
    const early = run(missing, { metadataMs: 200, initialOffset: 'latest' })
    await until('degraded', () => early.source.status().phase === 'degraded')
    expect(early.source.status()).toMatchObject({ phase: 'degraded', reason: 'TopicMissing' })
    await client.createTopicNamed(missing, 2)
    // Before it is noticed: `latest` would miss these.
    await client.produce(missing, numbered(0, 5))
    await until('ready', () => early.source.status().phase === 'ready')
    await offers(early, 5)
    expect(early.lines.filter((l) => l.reason === 'TopicMissing' && l.level === 'warn')).toHaveLength(1)
  })

  test('a topic that was deleted and made anew is read from its beginning', async () => {
    const topic = await client.createTopic('anew', 1)
    await client.produce(topic, numbered(0, 20))
    const r = run(topic, { metadataMs: 200 })
    await offers(r, 20)
    // Kafka may keep a commit that reaches it while it deletes the topic: the new one would be read from there.
    await committedUpTo(topic, 20)
    await client.deleteTopic(topic)
    await until('degraded', () => r.source.status().phase === 'degraded')
    await client.createTopicNamed(topic, 1)
    await client.produce(topic, numbered(100, 130))
    await offers(r, 50)
    expect(r.intake.texts().slice(20)).toEqual(names(100, 130))
    await committedUpTo(topic, 30)
  })

  test('what retention deleted before it was read is counted, and reading goes on at what is left', async () => {
    const topic = await client.createTopic('trimmed', 1)
    await client.produce(topic, numbered(0, 20))
    const first = run(topic, {}, (i) => {
      i.room = () => 5
      i.onOffer = () => {}
    })
    await offers(first, 5)
    await first.close()
    await client.deleteRecordsBefore(topic, 0, 12)
    const second = run(topic)
    await offers(second, 8)
    expect(second.intake.texts()).toEqual(names(12, 20))
    expect(second.source.lostAtSource()).toBe(12)
    await committedUpTo(topic, 20)
  })

  test('a seek begins again at the earliest record, at an offset and at a time', async () => {
    const topic = await client.createTopic('seek', 1)
    await client.produce(topic, numbered(0, 10))
    const r = run(topic)
    await offers(r, 10)
    const feed = r.intake.feed
    await feed?.seek(1, { at: 'earliest' })
    await offers(r, 20)
    await feed?.seek(1, { at: 'position', position: 7 })
    await offers(r, 23)
    expect(r.intake.texts()).toEqual([...names(0, 10), ...names(0, 10), ...names(7, 10)])
    await feed?.seek(1, { at: 'latest' })
    await client.produce(topic, numbered(10, 11))
    await offers(r, 24)
    expect(r.intake.texts().at(-1)).toBe('e10')
  })

  test('hands an event out again that was handed back', async () => {
    const topic = await client.createTopic('back', 1)
    await client.produce(topic, numbered(0, 6))
    const r = run(topic, {}, (i) => {
      i.onOffer = () => {}
    })
    await offers(r, 6)
    const [, second, , fourth] = r.intake.offered
    if (second === undefined || fourth === undefined) throw new Error('not offered')
    r.intake.handBack(fourth)
    r.intake.handBack(second)
    await offers(r, 8)
    expect(r.intake.texts().slice(6).toSorted()).toEqual(['e1', 'e3'])
    r.intake.settleAll()
    await committedUpTo(topic, 6)
  })

  test('tells the backlog, what went past, and filters without offering', async () => {
    const topic = await client.createTopic('backlog', 1)
    await client.produce(topic, numbered(0, 100))
    const r = run(topic, {}, (i) => {
      i.wants = (e) => !e.id.endsWith('3')
      i.onOffer = () => {}
      i.room = () => 20
    })
    await offers(r, 20)
    const backlog = r.intake.feed?.backlog(1)
    expect(backlog?.events).toBe(100 - (r.intake.feed?.passed(1) ?? 0))
    expect(Math.abs((backlog?.oldestMs ?? 0) - Date.now())).toBeLessThan(30_000)
    expect(r.intake.offered.some((d) => d.event.id.endsWith('3'))).toBe(false)
    expect(r.intake.feed?.passed(1)).toBe(22)
  })

  test('a second member gets its share and gives it back, with nothing lost and nothing twice', async () => {
    const topic = await client.createTopic('members', 8)
    const group = { consumerGroup: `group-${topic}` }
    const first = run(topic, group)
    await until('first is ready', () => first.source.status().phase === 'ready')
    let sent = 0
    const over = new AbortController()
    const flow = (async () => {
      while (!over.signal.aborted) {
        await client.produce(topic, numbered(sent, sent + 40))
        sent += 40
      }
    })()
    await offers(first, 200)
    const second = run(topic, group)
    await until('the second has its half', () => second.intake.lanes.size === 4 && first.intake.lanes.size === 4)
    await offers(second, 200)
    expect(first.intake.revokes.flatMap((x) => x.lanes)).toHaveLength(4)
    expect(second.intake.revokes).toEqual([])
    await second.close()
    await until('the first has all again', () => first.intake.lanes.size === 8)
    const before = first.intake.offered.length
    await offers(first, before + 200)
    over.abort()
    await flow
    const all = (): string[] => [...first.intake.texts(), ...second.intake.texts()]
    await until('everything has arrived', () => new Set(all()).size === sent)
    expect(all()).toHaveLength(sent)
  })

  test('the member that a killed process left is taken out of the group by the next one on its folder', async () => {
    const topic = await client.createTopic('dead', 2)
    const group = `group-${topic}`
    const link = new KafkaLink({ clientId: 'dead', sasl: null, tls: null, byName: false }, 30_000)
    const ask = {
      group,
      sessionTimeoutMs: 1_000_000,
      rebalanceTimeoutMs: 1_000_000,
      protocol: COOPERATIVE_STICKY,
      subscription: encodeSubscription([topic], [], -1),
    }
    const at = parseBootstrap(kafka.bootstrap.split(',')[0] ?? '')
    const { memberId } = await joinGroup(link, at, { ...ask, memberId: '' })
    await joinGroup(link, at, { ...ask, memberId })
    await link.close()
    const file = { stored: JSON.stringify({ [`source/default/orders ${group}`]: memberId }), text: '' }
    const memberships = new Memberships({ ...file, store: (text) => (file.text = text) })
    await client.produce(topic, numbered(0, 10))
    const r = run(topic, {}, undefined, undefined, memberships)
    await offers(r, 10)
    expect(await client.members(group)).toBe(1)
    const written = JSON.parse(file.text) as Record<string, string>
    expect(Object.values(written)).toHaveLength(1)
    expect(Object.values(written)).not.toContain(memberId)
    await r.close()
    expect(file.text).toBe('{}')
  })

  test('a revoke waits for what runs, and only for what moves', async () => {
    const topic = await client.createTopic('revoke', 2)
    await client.produce(topic, [...numbered(0, 1, 0), ...numbered(1, 2, 1)])
    const group = { consumerGroup: `group-${topic}` }
    let finish = (): void => {}
    const first = run(topic, group, (i) => {
      i.onOffer = () => {}
      i.onRevoke = () =>
        new Promise((resolve) => {
          finish = () => {
            i.settleAll()
            resolve()
          }
        })
    })
    await offers(first, 2)
    const second = run(topic, group)
    await until('a revoke', () => first.intake.revokes.length === 1)
    const revoke = first.intake.revokes[0]
    expect(revoke?.lanes).toHaveLength(1)
    expect(revoke?.deadlineMs).toBeGreaterThan(performance.now() + 5_000)
    expect(second.intake.lanes.size).toBe(0)
    finish()
    await until('the other has it', () => second.intake.lanes.size === 1)
    expect(second.intake.offered).toEqual([])
    expect([...(await client.committed(`group-${topic}`, topic)).values()].map((c) => c.offset)).toEqual([1, 1])
  })
})
