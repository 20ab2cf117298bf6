import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openAdmin, type RocketMqAdmin } from '../../src/vendor/rocketmq/admin.ts'
import { broker, post, runCli, startGateway, temporaryFolder, trigger, type RunningGateway } from '../gateway.ts'
import { sharedRocketMq, type SharedRocketMqAddress } from '../servers/rocketmq-provided.ts'
import { startSink, type Answer, type Sink } from '../sink.ts'
import { until } from '../until.ts'
import { newName, numbersOf } from './stream-rig.ts'

const rocketMq = sharedRocketMq()

/** Channels and Brokers on RocketMQ, beside what every message system is held to in systems-rocketmq. All at once: they mostly wait. */
describe.skipIf(rocketMq.skip)(`channels and Brokers on RocketMQ${rocketMq.note}`, { timeout: 400_000 }, () => {
  let at: SharedRocketMqAddress
  let admin: RocketMqAdmin
  const closing: (() => Promise<unknown>)[] = []
  const sink = async (answer?: Answer): Promise<Sink> => {
    const s = await startSink(answer)
    closing.push(() => s.close())
    return s
  }
  const gateway = async (manifests: readonly unknown[], data = temporaryFolder()): Promise<RunningGateway> => {
    const g = await startGateway({ manifests, data })
    closing.push(() => g.kill())
    return g
  }
  const config = (name: string, more: Readonly<Record<string, string>> = {}): unknown => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'knative-eventing' },
    data: { endpoints: at.endpoint, namesrvAddr: at.nameServer, ...more },
  })
  const onRocketMq = (name: string, configMap: string): unknown =>
    broker(name, {
      annotations: { 'eventing.knative.dev/broker.class': 'RocketMQ' },
      spec: { config: { apiVersion: 'v1', kind: 'ConfigMap', name: configMap, namespace: 'knative-eventing' } },
    })
  const channel = (name: string, spec: Readonly<Record<string, unknown>> = {}): unknown => ({
    apiVersion: 'messaging.knative.dev/v1alpha1',
    kind: 'RocketMQChannel',
    metadata: { name },
    spec,
  })
  const subscription = (name: string, of: string, url: string, more: Readonly<Record<string, unknown>> = {}): unknown => ({
    apiVersion: 'messaging.knative.dev/v1',
    kind: 'Subscription',
    metadata: { name, annotations: more['annotations'] ?? {} },
    spec: {
      channel: { apiVersion: 'messaging.knative.dev/v1alpha1', kind: 'RocketMQChannel', name: of },
      subscriber: { uri: url },
      ...(more['reply'] === undefined ? {} : { reply: more['reply'] }),
    },
  })

  beforeAll(async () => {
    at = await rocketMq.address()
    admin = openAdmin({ nameServers: [at.nameServer], credentials: null, tls: null, cluster: '' })
  }, 300_000)
  afterAll(async () => {
    for (const close of closing.splice(0).toReversed()) await close()
    admin.close()
  })

  test.concurrent('without name servers: what is missing is said and costs nobody time, what is there is used up to its limit', async () => {
    const name = newName('bare')
    const topic = `knative-broker-default_${name}`
    const group = `${topic}-trigger_default_${name}-t`
    const hanging = await sink(() => {})
    const manifests = [
      config('config-bare', { namesrvAddr: '' }),
      onRocketMq(name, 'config-bare'),
      trigger(`${name}-t`, hanging.url, { broker: name }),
    ]
    const data = temporaryFolder()
    const first = await gateway(manifests, data)
    const trouble = async (): Promise<string> => {
      const { degraded } = await first.api<{ degraded: { resource: string; reason: string; message: string }[] }>('/readyz')
      return degraded.map((d) => `${d.reason}: ${d.message}`).join('\n')
    }
    const missing = `the topic ${topic} or ${topic}-retry is missing, make it first, or say where the name servers are (namesrvAddr)`
    await until('what is missing is said', async () => (await trouble()).includes(missing))
    expect(await post(`${first.listen}/default/${name}`, 'too-early')).toBe(503)
    await admin.makeTopic(topic, { queues: 1, type: 'NORMAL' })
    await admin.makeTopic(`${topic}-retry`, { queues: 1, type: 'DELAY' })
    for (const one of [group, `${group}-retry`]) await admin.makeGroup(one, { retryMaxTimes: 1, fifo: false })
    await until('rid of it', async () => (await trouble()) === '')
    expect(await post(`${first.listen}/default/${name}`, 'poison')).toBe(202)
    await until('under way', () => hanging.seen.length === 1)
    await first.kill()
    // RocketMQ's last delivery before its own dead letter queue: it ends here, and is not attempted again.
    const second = await gateway(manifests, data)
    await until('parked', async () => (await numbersOf(second, `${name}-t`)).parked === 1, 120_000)
    const { items } = await second.api<{ items: { event: { id: string } }[] }>(`/api/v1/dlq/trigger/default/${name}-t`)
    expect(items.map((i) => i.event.id)).toEqual(['poison'])
    expect(hanging.seen.length).toBe(1)
    const { code, err } = await runCli([
      'replay',
      `trigger/default/${name}-t`,
      '--rewind',
      '--admin',
      second.admin,
      '--data',
      second.data,
    ])
    expect(code).not.toBe(0)
    expect(err).toContain('cannot')
    expect(await second.stop()).toBe(0)
  })

  test.concurrent('a channel gives each Subscription every event, replies go on to the next channel, and its group is made to last', async () => {
    const [first, second] = [newName('first'), newName('second')]
    const answers = await sink((s, response) =>
      response
        .writeHead(200, {
          'ce-specversion': '1.0',
          'ce-id': `re-${s.id}`,
          'ce-source': '/re',
          'ce-type': 'reply',
          'ce-empty': '',
        })
        .end(s.body),
    )
    const [also, last] = [await sink(), await sink()]
    const topic = `knative-messaging-rocketmq-default_${first}`
    const group = `${topic}-subscription_default_${first}-a`
    // Made by somebody who did not think of us.
    await admin.makeTopic(topic, { queues: 2, type: 'NORMAL' })
    await admin.makeGroup(group, { retryMaxTimes: 1, fifo: false })
    const reply = { ref: { apiVersion: 'messaging.knative.dev/v1alpha1', kind: 'RocketMQChannel', name: second } }
    const g = await gateway([
      config('config-rocketmq'),
      channel(first),
      channel(second, { queues: 1 }),
      subscription(`${first}-a`, first, answers.url, { reply }),
      subscription(`${first}-b`, first, also.url),
      subscription(`${second}-a`, second, last.url),
    ])
    await until('all have begun', async () => (await g.api<{ degraded: unknown[] }>('/readyz')).degraded.length === 0)
    const ids = Array.from({ length: 20 }, (_, i) => `e${i}`)
    for (const id of ids) expect(await post(`${g.listen}/default/${first}`, id)).toBe(202)
    await until('both have theirs, and the last has the replies', () => also.seen.length >= 20 && last.seen.length >= 20)
    expect(new Set(answers.seen.map((s) => s.id))).toEqual(new Set(ids))
    expect(new Set(also.seen.map((s) => s.id))).toEqual(new Set(ids))
    expect(new Set(last.seen.map((s) => s.id))).toEqual(new Set(ids.map((id) => `re-${id}`)))
    expect(last.seen[0]).toMatchObject({ type: 'reply', body: '{"n":1}' })
    expect(await admin.group(group)).toEqual({ retryMaxTimes: 1_000_000, fifo: false })
    expect((await admin.topic(`${topic}-retry`))?.[0]?.readQueues).toBeGreaterThan(0)
    expect(await g.stop()).toBe(0)
  })

  test.concurrent('keys keep their order on an ordered channel, retries included', async () => {
    const name = newName('ordered')
    const done: string[] = []
    const picky = await sink((s, response, nth) => {
      const fails = nth === 1 && s.id.endsWith('3')
      if (!fails) done.push(s.id)
      response.writeHead(fails ? 503 : 200).end()
    })
    const byKey = { annotations: { 'sluice.dev/delivery-order': 'key' } }
    const manifest = subscription(`${name}-a`, name, picky.url, byKey) as { spec: Record<string, unknown> }
    manifest.spec['delivery'] = { retry: 3, backoffPolicy: 'linear', backoffDelay: 'PT0.05S' }
    const g = await gateway([config('config-rocketmq'), channel(name, { ordered: true, queues: 2 }), manifest])
    await until('it has begun', async () => (await g.api<{ degraded: unknown[] }>('/readyz')).degraded.length === 0)
    const keys = ['red', 'green', 'blue']
    for (let i = 0; i < 8; i++)
      for (const key of keys)
        expect(await post(`${g.listen}/default/${name}`, `${key}-${i}`, { 'ce-partitionkey': key })).toBe(202)
    await until('all have come', () => done.length >= 24, 120_000)
    for (const key of keys)
      expect(done.filter((id) => id.startsWith(key))).toEqual(Array.from({ length: 8 }, (_, i) => `${key}-${i}`))
    expect(await g.stop()).toBe(0)
  })

  test.concurrent('what is unread is counted, and a Trigger is set back to read it all again', async () => {
    const name = newName('again')
    let paused = true
    const held: (() => void)[] = []
    const slow = await sink((_s, response) => {
      const answer = (): void => void response.writeHead(200).end()
      if (paused) held.push(answer)
      else answer()
    })
    const g = await gateway([
      config('config-again'),
      onRocketMq(name, 'config-again'),
      trigger(`${name}-t`, slow.url, { broker: name, annotations: { 'sluice.dev/max-concurrency': '4' } }),
    ])
    await until('it has begun', async () => (await g.api<{ degraded: unknown[] }>('/readyz')).degraded.length === 0)
    const many = 1_500
    let next = 0
    const lane = async (): Promise<void> => {
      while (next < many) expect(await post(`${g.listen}/default/${name}`, `e${next++}`)).toBe(202)
    }
    await Promise.all(Array.from({ length: 32 }, lane))
    // Unread in RocketMQ and waiting here: together all that was sent.
    await until('the backlog is known', async () => {
      const { unread, waiting } = await numbersOf(g, `${name}-t`)
      return unread > 0 && unread + waiting === many
    })
    paused = false
    for (const answer of held.splice(0)) answer()
    await until('all have come', () => slow.counts().size === many, 120_000)
    await until('nothing is unread', async () => (await numbersOf(g, `${name}-t`)).unread === 0)
    const cli = (...args: string[]): ReturnType<typeof runCli> => runCli([...args, '--admin', g.admin, '--data', g.data])
    const beside = await cli('replay', `trigger/default/${name}-t`, '--from', 'earliest')
    expect(beside.code).not.toBe(0)
    expect(beside.err).toContain('RocketMQ gives it one position. --rewind')
    await until('all is settled', async () => (await numbersOf(g, `${name}-t`)).waiting === 0)
    expect(await cli('replay', `trigger/default/${name}-t`, '--from', 'earliest', '--rewind')).toMatchObject({ code: 0 })
    await until('all have come once more', () => [...slow.counts().values()].every((n) => n >= 2), 120_000)
    expect(slow.counts().size).toBe(many)
    expect(await g.stop()).toBe(0)
  })
})
