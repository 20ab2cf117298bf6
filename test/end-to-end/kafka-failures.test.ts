import { spawn } from 'node:child_process'
import { afterEach, describe, expect, test } from 'vitest'
import { findCoordinator } from '../../src/vendor/kafka/calls.ts'
import { CODE, codeName } from '../../src/vendor/kafka/codes.ts'
import { type BrokerAddress, KafkaLink, parseBootstrap } from '../../src/vendor/kafka/link.ts'
import { type KafkaServer, startKafka } from '../servers/kafka.ts'
import { kafkaTestClient, type KafkaTestClient } from '../servers/kafka-clients.ts'
import { freePorts } from '../servers/processes.ts'
import { ownKafka } from '../servers/provided.ts'
import { runSource, type RunningSource } from '../sources/kafka-runner.ts'
import { until } from '../until.ts'

const own = ownKafka()

describe.skipIf(own.skip)(`when Kafka fails${own.note}`, () => {
  const open: { close(): Promise<void> }[] = []
  afterEach(async () => {
    for (const o of open.splice(0).toReversed()) await o.close()
  })
  const start = async (o: Parameters<typeof startKafka>[0]): Promise<{ kafka: KafkaServer; client: KafkaTestClient }> => {
    const kafka = await startKafka(o)
    open.push({ close: () => kafka.stop() })
    const client = kafkaTestClient(kafka.bootstrap)
    open.push(client)
    return { kafka, client }
  }
  const run = (o: Parameters<typeof runSource>[0]): RunningSource => {
    const r = runSource(o)
    open.push(r)
    return r
  }
  /** Produces numbers without end, each acknowledged one kept; a failed one is sent again. */
  const flow = (client: KafkaTestClient, topic: string): { sent: Set<string>; stop(): Promise<void> } => {
    const sent = new Set<string>()
    const over = new AbortController()
    const done = (async () => {
      for (let n = 0; !over.signal.aborted; n++) {
        const value = Buffer.from(`e${n}`)
        await client.produce(topic, [{ value, key: value }]).then(
          () => sent.add(`e${n}`),
          () => new Promise((resolve) => setTimeout(resolve, 100)),
        )
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
    })()
    return {
      sent,
      async stop() {
        over.abort()
        await done
      },
    }
  }
  const missing = (sent: ReadonlySet<string>, r: RunningSource): string[] => {
    const got = new Set(r.intake.texts())
    return [...sent].filter((x) => !got.has(x))
  }

  test('a Kafka that is killed and comes back costs no event; nothing is told twice in the log', async () => {
    const { kafka, client } = await start({})
    const topic = await client.createTopic('killed', 4)
    const r = run({ bootstrapServers: [kafka.bootstrap], topics: [topic], consumerGroup: 'survivors', metadataMs: 500 })
    const f = flow(client, topic)
    await until('some events', () => r.intake.offered.length > 100)
    await kafka.kill()
    await until('degraded', () => r.source.status().phase === 'degraded')
    expect(r.source.status()).toMatchObject({ reason: 'KafkaUnreachable' })
    await kafka.restart()
    const before = r.intake.offered.length
    await until('it goes on', () => r.intake.offered.length > before + 200, 120_000)
    await f.stop()
    await until('all that was acknowledged has arrived', () => missing(f.sent, r).length === 0)
    await until('ready again', () => r.source.status().phase === 'ready')
    // The producer of this test may have sent one twice; our own membership outlived the broker, so nothing was read again.
    expect(new Set(r.intake.offered.map((d) => d.event.id)).size).toBe(r.intake.offered.length)
    expect(r.lines.filter((l) => l.reason === 'KafkaUnreachable' && l.level === 'warn')).toHaveLength(1)
    expect(r.lines.filter((l) => l.reason === 'KafkaUnreachable' && l.level === 'info')).toHaveLength(1)
    await r.close()
    const committed = [...(await client.committed('survivors', topic)).values()].reduce((sum, c) => sum + c.offset, 0)
    expect(committed).toBe(r.intake.offered.length)
  })

  test('a Kafka that is not there at the start is waited for, and told once', async () => {
    const [port] = await freePorts(1)
    const r = run({ bootstrapServers: [`127.0.0.1:${port}`], topics: ['t'], consumerGroup: 'g' })
    await until('degraded', () => r.source.status().phase === 'degraded')
    expect(r.source.status()).toMatchObject({ reason: 'KafkaUnreachable', message: expect.stringContaining(`127.0.0.1:${port}`) })
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(r.lines.filter((l) => l.level === 'warn')).toHaveLength(1)
    const before = performance.now()
    await r.close()
    expect(performance.now() - before).toBeLessThan(10_000)
    expect(r.source.status()).toEqual({ phase: 'stopped' })
  })

  test('of three brokers the one that coordinates the group is lost: it and its partitions go on under another', async () => {
    const { kafka, client } = await start({ brokers: 3 })
    const topic = await client.createTopic('led', 6, { replicas: 3, configs: { 'min.insync.replicas': '2' } })
    const r = run({ bootstrapServers: kafka.bootstrap.split(','), topics: [topic], consumerGroup: 'moving', metadataMs: 500 })
    const f = flow(client, topic)
    await until('events flow', () => r.intake.offered.length > 100)
    // Of six partitions each leads two: who coordinates the group leads some of them too.
    const coordinator = await coordinatorOf('moving', kafka)
    await kafka.kill(coordinator)
    const killed = r.intake.offered.length
    await until('events flow without it', () => r.intake.offered.length > killed + 200, 120_000)
    await until('another coordinates it', async () => (await coordinatorOf('moving', kafka)) !== coordinator, 120_000)
    await kafka.restart(coordinator)
    const restarted = r.intake.offered.length
    await until('events flow on', () => r.intake.offered.length > restarted + 100, 120_000)
    await f.stop()
    await until('all that was acknowledged has arrived', () => missing(f.sent, r).length === 0, 120_000)
    expect(new Set(r.intake.offered.map((d) => d.event.id)).size).toBe(r.intake.offered.length)
    await until('ready again', () => r.source.status().phase === 'ready', 120_000)
    await until('all is committed', async () => {
      const offsets = [...(await client.committed('moving', topic)).values()]
      return offsets.reduce((sum, c) => sum + c.offset, 0) === r.intake.offered.length
    })
  }, 600_000)

  test('Kafka 3.9: reads, commits, shares with a second member, and knows aborted transactions', async () => {
    const { kafka, client } = await start({ version: '3.9.2' })
    const topic = await client.createTopic('old', 4)
    const o = { bootstrapServers: [kafka.bootstrap], topics: [topic], consumerGroup: 'old' }
    const t = client.transactions('old-tx')
    open.push(t)
    await t.begin()
    await t.send(topic, ['never'])
    await t.end(false)
    await client.produce(
      topic,
      Array.from({ length: 400 }, (_, i) => ({ value: Buffer.from(`e${i}`), partition: i % 4 })),
      'zstd',
    )
    const first = run(o)
    await until('all', () => first.intake.offered.length === 400)
    const second = run(o)
    await until('half each', () => first.intake.lanes.size === 2 && second.intake.lanes.size === 2)
    await client.produce(
      topic,
      Array.from({ length: 40 }, (_, i) => ({ value: Buffer.from(`f${i}`), partition: i % 4 })),
    )
    await until('all of both', () => first.intake.offered.length + second.intake.offered.length === 440)
    expect([...first.intake.texts(), ...second.intake.texts()]).not.toContain('never')
    await second.close()
    await first.close()
    const committed = [...(await client.committed('old', topic)).values()].reduce((sum, c) => sum + c.offset, 0)
    expect(committed).toBe(442)
  })

  test('a server of the tests dies with the process that started it, also by SIGKILL', async () => {
    const module = new URL('../servers/processes.ts', import.meta.url).href
    const code = `const { startWatched } = await import(${JSON.stringify(module)}); console.log((await startWatched('sleep', ['600'], '/dev/null')).pid)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
    const text = await new Promise<string>((resolve) => child.stdout.once('data', (b: Buffer) => resolve(b.toString())))
    const pid = Number(text)
    expect(alive(pid)).toBe(true)
    child.kill('SIGKILL')
    await until('it is gone', () => !alive(pid))
  })
})

/** Index of the broker that coordinates the group, asked of those that run. */
async function coordinatorOf(group: string, kafka: KafkaServer): Promise<number> {
  const link = new KafkaLink({ clientId: 'test', sasl: null, tls: null, byName: false }, 5_000)
  const addresses = kafka.bootstrap.split(',').map(parseBootstrap)
  const asked = async (at: BrokerAddress): Promise<number> => {
    const found = await findCoordinator(link, at, group)
    if (found.code !== CODE.none) throw new Error(codeName(found.code))
    return addresses.findIndex((a) => a.port === found.at.port)
  }
  try {
    return (await until('somebody coordinates it', async () => 1 + (await Promise.any(addresses.map(asked))))) - 1
  } finally {
    await link.close()
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
