import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCli, startGateway, temporaryFolder, type RunningGateway } from '../gateway.ts'
import { ownRocketMq } from '../servers/provided.ts'
import { rocketMqTestClient, type RocketMqTestClient, type TestMessage } from '../servers/rocketmq-clients.ts'
import { ACCESS_KEY, ACCESS_SECRET, startRocketMq, type RocketMqServer } from '../servers/rocketmq.ts'
import { startSink, type Answer, type Sink } from '../sink.ts'
import { until } from '../until.ts'

const own = ownRocketMq()
const PLAIN = ['both', 'filtered', 'outage', 'lossless', 'hanging', 'poison', 'again', 'waits']
const IN_FLIGHT = 16

interface SourceOptions {
  readonly topic?: string
  readonly group?: string
  readonly sink: string
  readonly spec?: Readonly<Record<string, unknown>>
  readonly annotations?: Readonly<Record<string, string>>
}

interface Subscription {
  readonly key: string
  readonly waiting: number
  readonly attempting: number
  readonly backlog: number
  readonly parkedNow: number
  readonly delivered: number
}

const bodies = (sink: Sink): string[] => sink.seen.map((s) => s.body)
const numbered = (topic: string, from: number, to: number): TestMessage[] =>
  Array.from({ length: to - from }, (_, i) => ({ topic, body: `e${from + i}` }))

/** One RocketMQ, which wants an access key, for all of these; each test has a topic and a group of its own. */
describe.skipIf(own.skip)(`a RocketMQ source${own.note}`, { timeout: 400_000 }, () => {
  let rocketMq: RocketMqServer
  let client: RocketMqTestClient
  let ca = ''
  const closing: (() => Promise<unknown>)[] = []
  const sink = async (answer?: Answer): Promise<Sink> => {
    const s = await startSink(answer)
    closing.push(() => s.close())
    return s
  }
  const gateway = async (sources: readonly unknown[], data = temporaryFolder()): Promise<RunningGateway> => {
    const token = { url: rocketMq.endpoint, accessKeyId: ACCESS_KEY, accessKeySecret: ACCESS_SECRET }
    const data64 = (text: string): string => Buffer.from(text).toString('base64')
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'rocketmq' },
      data: {
        token: data64(data64(JSON.stringify(token))),
        wrong: data64(JSON.stringify({ ...token, accessKeySecret: 'through-the-mirror' })),
        ca: data64(ca),
      },
    }
    const g = await startGateway({ manifests: [secret, ...sources], data })
    closing.push(() => g.kill())
    return g
  }
  const source = (name: string, o: SourceOptions): unknown => ({
    apiVersion: 'sources.knative.dev/v1alpha1',
    kind: 'RocketMQSource',
    metadata: { name, annotations: o.annotations ?? {} },
    spec: {
      topic: o.topic ?? name,
      groupName: o.group ?? `g-${name}`,
      accessToken: { secretKeyRef: { name: 'rocketmq', key: 'token' } },
      sink: { uri: o.sink },
      ...o.spec,
    },
  })
  const subscription = async (g: RunningGateway, name: string): Promise<Subscription> => {
    const { subscriptions } = await g.api<{ subscriptions: Subscription[] }>('/api/v1/snapshot')
    const found = subscriptions.find((s) => s.key === `rocketmqsource/default/${name}`)
    if (found === undefined) throw new Error(`no subscription of ${name}`)
    return found
  }
  const trouble = async (g: RunningGateway, name: string): Promise<{ reason?: string; message?: string }> => {
    const { degraded } = await g.api<{ degraded: { resource: string; reason: string; message: string }[] }>('/readyz')
    return degraded.find((d) => d.resource.toLowerCase().includes(name)) ?? {}
  }

  beforeAll(async () => {
    const names = ['both', 'tags', 'sql', 'fifo', 'outage', 'lossless', 'hanging', 'poison', 'again', 'waits', 'refused']
    rocketMq = await startRocketMq({
      topics: [...PLAIN.map((name) => ({ name })), { name: 'fifo', type: 'FIFO' }],
      groups: names.map((name) => ({
        name: `g-${name}`,
        fifo: name === 'fifo',
        ...(name === 'poison' ? { retryMaxTimes: 1 } : {}),
      })),
      authentication: true,
    })
    ca = await readFile(rocketMq.certificates.ca, 'utf8')
    client = await rocketMqTestClient(rocketMq.endpoint, 'both', { accessKey: ACCESS_KEY, accessSecret: ACCESS_SECRET })
  }, 300_000)
  afterAll(async () => {
    for (const close of closing.splice(0).toReversed()) await close()
    await rocketMq.stop()
  })

  test('reads on when the proxy was killed and came back', async () => {
    const steady = await sink()
    const g = await gateway([source('outage', { sink: steady.url })])
    await client.send(numbered('outage', 0, 100))
    await until('the first have come', () => steady.seen.length >= 100)
    await rocketMq.kill()
    await until('told', async () => (await trouble(g, 'outage')).reason === 'RocketMQUnreachable')
    await rocketMq.restart()
    await until('rid of it', async () => (await trouble(g, 'outage')).reason === undefined)
    const sent = async (): Promise<boolean> =>
      client.send(numbered('outage', 100, 200)).then(
        () => true,
        () => false,
      )
    await until('sent', sent)
    await until('all have come', () => new Set(bodies(steady)).size === 200)
    expect(await g.stop()).toBe(0)
  })

  // All others together, those first that wait for leases to run out.
  test.concurrent('loses nothing when the gateway is killed in full flow', async () => {
    const answeredMs: number[] = []
    let killedMs = 0
    // Half of it at most is taken before the kill, however late that comes.
    const slow = await sink((_s, response) => {
      const answer = (): void => {
        if (killedMs === 0 && answeredMs.length >= 300) return
        answeredMs.push(performance.now())
        response.writeHead(200).end()
      }
      setTimeout(answer, 10)
    })
    const manifests = [source('lossless', { sink: slow.url, annotations: { 'sluice.dev/max-concurrency': String(IN_FLIGHT) } })]
    const data = temporaryFolder()
    const first = await gateway(manifests, data)
    await client.send(numbered('lossless', 0, 600))
    await until('in full flow', () => slow.seen.length > 100)
    await first.kill()
    killedMs = performance.now()
    await gateway(manifests, data)
    // What the killed one held is invisible for up to 20 s.
    await until('all have come', () => new Set(bodies(slow)).size === 600, 120_000)
    // What was under way, and what was answered in the last second and not acknowledged yet.
    const unsure = answeredMs.filter((ms) => ms > killedMs - 1_000 && ms <= killedMs).length
    expect(slow.seen.length - 600).toBeLessThanOrEqual(IN_FLIGHT + unsure)
    expect(slow.mostInFlight()).toBeLessThanOrEqual(IN_FLIGHT)
  })

  test.concurrent('holds no more than there is room for while a sink hangs, longer than a lease, and delivers each once after', async () => {
    const held: (() => void)[] = []
    let hangs = true
    const hanging = await sink((_s, response) => {
      const answer = (): void => void response.writeHead(200).end()
      if (hangs) held.push(answer)
      else answer()
    })
    const many = 2_000
    await client.send(numbered('hanging', 0, many))
    const g = await gateway([source('hanging', { sink: hanging.url, annotations: { 'sluice.dev/max-concurrency': '4' } })])
    const sinceMs = performance.now()
    await until('the lane is full', async () => (await subscription(g, 'hanging')).waiting >= 500)
    await until('longer than a lease', () => performance.now() - sinceMs > 24_000)
    const now = await subscription(g, 'hanging')
    expect(now.waiting).toBeLessThanOrEqual(512 + 4)
    expect(now.backlog).toBeLessThanOrEqual(8 * 32)
    expect(hanging.seen.length).toBe(4)
    hangs = false
    for (const answer of held) answer()
    await until('all have come', () => new Set(bodies(hanging)).size === many, 120_000)
    expect(hanging.seen.length).toBe(many)
    expect(await g.stop()).toBe(0)
  })

  test.concurrent('a long wait survives SIGKILL with its attempts counted', async () => {
    const late = await sink((_s, response, nth) => response.writeHead(nth === 1 ? 503 : 200).end())
    const delivery = { retry: 3, backoffPolicy: 'linear', backoffDelay: 'PT8S' }
    const manifests = [source('waits', { sink: late.url, spec: { delivery } })]
    const data = temporaryFolder()
    const first = await gateway(manifests, data)
    await client.send(numbered('waits', 0, 3))
    await until('they wait outside of memory', async () => {
      const path = '/api/v1/resources/rocketmqsource/default/waits'
      const { sluice } = await first.api<{ sluice: { counters: { detached: number } } }>(path)
      return sluice.counters.detached === 3
    })
    await first.kill()
    const second = await gateway(manifests, data)
    await until('all have come again', () => late.seen.length >= 6, 120_000)
    for (const body of ['e0', 'e1', 'e2']) {
      const [before = 0, after = 0] = late.seen.filter((s) => s.body === body).map((s) => s.atMs)
      // Eight seconds, give or take a fifth.
      expect(after - before).toBeGreaterThan(6_300)
    }
    await until('all are delivered', async () => (await subscription(second, 'waits')).delivered === 3)
    expect(await second.stop()).toBe(0)
  })

  test.concurrent('parks what RocketMQ would move to its own dead letter queue next', async () => {
    const data = temporaryFolder()
    const hanging = await sink(() => {})
    const manifests = [source('poison', { sink: hanging.url })]
    const first = await gateway(manifests, data)
    await client.send([{ topic: 'poison', body: 'p' }])
    await until('under way', () => hanging.seen.length === 1)
    await first.kill()
    const second = await gateway(manifests, data)
    await until('parked', async () => (await subscription(second, 'poison')).parkedNow === 1, 120_000)
    const { items } = await second.api<{ items: { reason: string }[] }>('/api/v1/dlq/rocketmqsource/default/poison')
    expect(items.length).toBe(1)
    expect(hanging.seen.length).toBe(1)
    expect(await second.stop()).toBe(0)
  })

  test.concurrent('delivers over TLS with an access key, plain messages wrapped, and acknowledges only what was settled', async () => {
    const picky = await sink((s, response, nth) => response.writeHead(s.body === 'retried' && nth === 1 ? 503 : 200).end())
    const tls = { net: { tls: { enable: true, caCert: { secretKeyRef: { name: 'rocketmq', key: 'ca' } } } } }
    const manifests = [source('both', { sink: picky.url, spec: tls })]
    const data = temporaryFolder()
    const first = await gateway(manifests, data)
    const ce = { CE_specversion: '1.0', CE_id: 'ce-1', CE_source: '/shop', CE_type: 'order', CE_datacontenttype: 'text/plain' }
    const [id] = await client.send([
      { topic: 'both', body: 'plain', tag: 'paid', keys: ['k1'], properties: { colour: 'red' } },
      { topic: 'both', body: 'event', properties: ce },
      { topic: 'both', body: 'retried' },
    ])
    await until('all arrived', () => picky.seen.length === 4)
    const of = (body: string): Record<string, unknown> => picky.seen.find((s) => s.body === body)?.headers ?? {}
    expect(of('plain')).toMatchObject({
      'ce-id': id,
      'ce-type': 'dev.knative.rocketmq.event',
      'ce-source': '/apis/v1/namespaces/default/rocketmqsources/both/both',
      'ce-rocketmqtag': 'paid',
      'ce-rocketmqkeys': 'k1',
      'ce-rocketmqpropertycolour': 'red',
    })
    expect(of('event')).toMatchObject({ 'ce-id': 'ce-1', 'ce-type': 'order', 'content-type': 'text/plain' })
    expect(bodies(picky).toSorted()).toEqual(['event', 'plain', 'retried', 'retried'])
    expect(await first.stop()).toBe(0)
    const second = await gateway(manifests, data)
    await client.send([{ topic: 'both', body: 'last' }])
    await until('the last has come', () => bodies(picky).includes('last'))
    expect(picky.seen.length).toBe(5)
    expect(await second.stop()).toBe(0)
  })

  test.concurrent('reads what tag and SQL92 filters let through', async () => {
    const tagged = await sink()
    const chosen = await sink()
    await gateway([
      source('tags', { topic: 'filtered', sink: tagged.url, spec: { tag: 'a || b' } }),
      source('sql', { topic: 'filtered', sink: chosen.url, spec: { sql: "colour = 'red' AND amount > 5" } }),
    ])
    await client.send(
      ['a', 'b', 'c'].flatMap((tag) =>
        ['red', 'blue'].flatMap((colour) =>
          ['3', '7'].map((amount) => ({
            topic: 'filtered',
            body: `${tag}-${colour}-${amount}`,
            tag,
            properties: { colour, amount },
          })),
        ),
      ),
    )
    await until('both have theirs', () => tagged.seen.length >= 8 && chosen.seen.length >= 3)
    expect(new Set(bodies(tagged).map((b) => b[0]))).toEqual(new Set(['a', 'b']))
    expect(bodies(chosen).toSorted()).toEqual(['a-red-7', 'b-red-7', 'c-red-7'])
  })

  test.concurrent('keeps the order of every message group of a FIFO topic, retries included', async () => {
    const done: string[] = []
    const slow = await sink((s, response, nth) => {
      const fails = nth === 1 && s.body.endsWith('3')
      if (!fails) done.push(s.body)
      setTimeout(() => response.writeHead(fails ? 503 : 200).end(), 5)
    })
    const groups = ['red', 'green', 'blue']
    await client.send(
      groups.flatMap((group) => Array.from({ length: 15 }, (_, i) => ({ topic: 'fifo', group, body: `${group}-${i}` }))),
    )
    await gateway([source('fifo', { sink: slow.url })])
    await until('all arrived', () => done.length >= 45, 120_000)
    for (const group of groups)
      expect(done.filter((b) => b.startsWith(group))).toEqual(Array.from({ length: 15 }, (_, i) => `${group}-${i}`))
  })

  test.concurrent('says what is missing or refused', async () => {
    const late = await sink()
    const g = await gateway([
      source('late', { group: 'g-refused', sink: late.url }),
      source('groupless', { topic: 'both', group: 'nobody', sink: late.url }),
      source('stranger', {
        topic: 'both',
        group: 'g-refused',
        sink: late.url,
        spec: { accessToken: { secretKeyRef: { name: 'rocketmq', key: 'wrong' } } },
      }),
      source('crooked', { topic: 'both', group: 'g-refused', sink: late.url, spec: { sql: 'colour = = (' } }),
    ])
    const reasons = { late: 'TopicMissing', groupless: 'GroupMissing', stranger: 'Unauthorized', crooked: 'FilterInvalid' }
    const told = new Map<string, string>()
    for (const [name, reason] of Object.entries(reasons))
      await until(`${name}: ${reason}`, async () => {
        const now = await trouble(g, name)
        told.set(name, now.message ?? '')
        return now.reason === reason
      })
    expect(told.get('late')).toContain('the topic late is missing')
    expect(g.log.join('\n')).not.toMatch(/through-the-mirror|wonder-land/)
    expect(await g.stop()).toBe(0)
  })

  test.concurrent('with the name server shows what is unread, and is set back to read it again', async () => {
    const held: (() => void)[] = []
    let hangs = true
    const slow = await sink((_s, response) => {
      const answer = (): void => void response.writeHead(200).end()
      if (hangs) held.push(answer)
      else answer()
    })
    const many = 1_200
    await client.send(numbered('again', 0, many))
    const spec = { endpoints: rocketMq.endpoint, namesrvAddr: rocketMq.nameServer }
    const g = await gateway([source('again', { sink: slow.url, spec, annotations: { 'sluice.dev/max-concurrency': '4' } })])
    await until('the backlog is known', async () => {
      const { backlog, waiting } = await subscription(g, 'again')
      return backlog > 0 && backlog + waiting === many
    })
    hangs = false
    for (const answer of held) answer()
    await until('all have come', () => new Set(bodies(slow)).size === many, 120_000)
    await until('all is settled', async () => {
      const { backlog, waiting } = await subscription(g, 'again')
      return backlog + waiting === 0
    })
    const args = ['replay', 'rocketmqsource/default/again', '--from', 'earliest', '--rewind']
    expect(await runCli([...args, '--admin', g.admin, '--data', g.data])).toMatchObject({ code: 0 })
    const twice = (): boolean => {
      const counts = new Map<string, number>()
      for (const body of bodies(slow)) counts.set(body, (counts.get(body) ?? 0) + 1)
      return counts.size === many && [...counts.values()].every((n) => n >= 2)
    }
    await until('all have come once more', twice, 120_000)
    expect(await g.stop()).toBe(0)
  })
})
