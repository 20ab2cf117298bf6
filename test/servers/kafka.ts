import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CACHE, certificates, javaBuild, kafkaJars, settleIn, type Certificates, type KafkaVersion } from './kafka-files.ts'
import { freePorts, startWatched, type WatchedServer } from './processes.ts'

const run = promisify(execFile)

export interface KafkaOptions {
  readonly brokers?: number
  /** Adds the listeners SASL_PLAINTEXT, SSL (client certificates asked for) and SASL_SSL beside the plain one. */
  readonly security?: boolean
  readonly version?: KafkaVersion
  /** Lines that stand after all others in server.properties. */
  readonly properties?: Readonly<Record<string, string>>
  /** Where the first broker listens; a free port unless said. */
  readonly port?: number
}

/** A Kafka of the test's own. Users of the secured listeners: alice/wonder-land, for PLAIN and SCRAM. */
export interface KafkaServer {
  readonly bootstrap: string
  /** Addresses by listener; empty without `security`. */
  readonly secured: { readonly sasl: string; readonly tls: string; readonly saslTls: string }
  readonly certificates: Certificates | null
  /** Process ids of the brokers that run. */
  pids(): number[]
  /** SIGKILL; the data stays. */
  kill(broker?: number): Promise<void>
  /** The broker that was killed, on the same ports and data. */
  restart(broker?: number): Promise<void>
  stop(): Promise<void>
}

const READY_WITHIN_MS = 60_000
const CLUSTER_ID = 'AAAAAAAAQACAAAAAAAAAAQ'
export const USER = 'alice'
export const PASSWORD = 'wonder-land'
const JAVA_FLAGS = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']

interface Broker {
  readonly id: number
  readonly home: string
  readonly log: string
  process: WatchedServer | null
}

export async function startKafka(o: KafkaOptions = {}): Promise<KafkaServer> {
  const version = o.version ?? '4.1.2'
  const count = o.brokers ?? 1
  const lib = await kafkaJars(version)
  const archive = await classArchive(version, lib)
  const certs = o.security === true ? await certificates() : null
  const ports = await freePorts(count * 5)
  if (o.port !== undefined) ports[0] = o.port
  const root = await mkdtemp(join(tmpdir(), 'kafka-'))
  const at = (kind: number): string => Array.from({ length: count }, (_, i) => `127.0.0.1:${ports[i * 5 + kind]}`).join(',')
  const brokers: Broker[] = []
  for (let i = 0; i < count; i++) {
    const home = join(root, `broker-${i + 1}`)
    await mkdir(home)
    const mine = ports.slice(i * 5, i * 5 + 5)
    const voters = Array.from({ length: count }, (_, k) => `${k + 1}@127.0.0.1:${ports[k * 5 + 1]}`).join(',')
    const properties = {
      ...base(i + 1, count, mine, voters, join(home, 'data')),
      ...(certs === null ? {} : secured(mine, certs)),
      ...o.properties,
    }
    await writeFile(join(home, 'server.properties'), lines(properties))
    await writeFile(join(home, 'log4j.properties'), version.startsWith('3') ? LOG4J_1 : LOG4J_2)
    await format(version, lib, home, i + 1, certs !== null)
    brokers.push({ id: i + 1, home, log: join(home, 'server.log'), process: null })
  }
  const start = (b: Broker): Promise<void> => launch(b, version, lib, [`-XX:SharedArchiveFile=${archive}`], brokers.length, root)
  await Promise.all(brokers.map(start))
  const broker = (n: number): Broker => {
    const b = brokers[n]
    if (b === undefined) throw new Error(`there is no broker ${n}`)
    return b
  }
  return {
    bootstrap: at(0),
    secured: certs === null ? { sasl: '', tls: '', saslTls: '' } : { sasl: at(2), tls: at(3), saslTls: at(4) },
    certificates: certs,
    pids: () => brokers.flatMap((b) => (b.process?.running() === true ? [b.process.pid] : [])),
    kill: async (n = 0) => broker(n).process?.kill('SIGKILL'),
    restart: (n = 0) => start(broker(n)),
    async stop() {
      await Promise.all(brokers.map(async (b) => b.process?.kill('SIGKILL')))
      await rm(root, { recursive: true, force: true })
    },
  }
}

async function launch(
  b: Broker,
  version: KafkaVersion,
  lib: string,
  flags: readonly string[],
  brokers: number,
  root: string,
): Promise<void> {
  await writeFile(b.log, '', { flag: 'a' })
  const from = (await readFile(b.log)).length
  const logging = version.startsWith('3')
    ? `-Dlog4j.configuration=file:${b.home}/log4j.properties`
    : `-Dlog4j2.configurationFile=${b.home}/log4j.properties`
  const heap = brokers > 1 ? '-Xmx320m' : '-Xmx512m'
  const args = [heap, ...JAVA_FLAGS, ...flags, '-cp', `${lib}/*`, logging, 'kafka.Kafka', join(b.home, 'server.properties')]
  const server = await startWatched('java', args, b.log, root)
  b.process = server
  const deadline = Date.now() + READY_WITHIN_MS
  while (!(await readFile(b.log)).subarray(from).includes('Kafka Server started')) {
    if (!server.running()) throw new Error(`Kafka ended while it started:\n${(await readFile(b.log, 'utf8')).slice(-3000)}`)
    if (Date.now() > deadline) throw new Error(`Kafka was not ready within ${READY_WITHIN_MS} ms, see ${b.log}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** Formatting takes a Java start; the two small files it writes are the same each time, so they are kept. */
async function format(version: KafkaVersion, lib: string, home: string, id: number, scram: boolean): Promise<void> {
  const kept = join(CACHE, version, `formatted-${id}${scram ? '-scram' : ''}`)
  if (!existsSync(kept)) {
    const users = scram
      ? ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((m) => ['--add-scram', `${m}=[name=${USER},password=${PASSWORD}]`])
      : []
    await run('java', [
      '-XX:TieredStopAtLevel=1',
      '-cp',
      `${lib}/*`,
      'kafka.tools.StorageTool',
      'format',
      '-t',
      CLUSTER_ID,
      '-c',
      join(home, 'server.properties'),
      ...users,
    ])
    const fresh = `${kept}.${process.pid}`
    await cp(join(home, 'data'), fresh, { recursive: true })
    await settleIn(fresh, kept)
    return
  }
  await cp(kept, join(home, 'data'), { recursive: true })
}

/** A class-data archive brings the start from 7 s to about 2 s. Written by the first start, at SIGTERM. */
async function classArchive(version: KafkaVersion, lib: string): Promise<string> {
  const archive = join(CACHE, version, `classes-${await javaBuild()}.jsa`)
  if (existsSync(archive)) return archive
  const root = await mkdtemp(join(tmpdir(), 'kafka-classes-'))
  const ports = await freePorts(5)
  await writeFile(join(root, 'server.properties'), lines(base(1, 1, ports, `1@127.0.0.1:${ports[1]}`, join(root, 'data'))))
  await writeFile(join(root, 'log4j.properties'), version.startsWith('3') ? LOG4J_1 : LOG4J_2)
  await format(version, lib, root, 1, false)
  const broker: Broker = { id: 1, home: root, log: join(root, 'server.log'), process: null }
  const fresh = `${archive}.${process.pid}`
  await launch(broker, version, lib, [`-XX:ArchiveClassesAtExit=${fresh}`], 1, root)
  await broker.process?.kill('SIGTERM')
  await settleIn(fresh, archive)
  await rm(root, { recursive: true, force: true })
  return archive
}

function base(id: number, count: number, ports: readonly number[], voters: string, data: string): Record<string, string> {
  const copies = String(Math.min(3, count))
  const least = count > 1 ? '2' : '1'
  return {
    'process.roles': 'broker,controller',
    'node.id': String(id),
    'controller.quorum.voters': voters,
    listeners: `PLAINTEXT://127.0.0.1:${ports[0]},CONTROLLER://127.0.0.1:${ports[1]}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${ports[0]}`,
    'listener.security.protocol.map':
      'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': data,
    'num.partitions': '4',
    'offsets.topic.replication.factor': copies,
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': least,
    'transaction.state.log.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': copies,
    'share.coordinator.state.topic.min.isr': least,
    'group.initial.rebalance.delay.ms': '0',
    'auto.create.topics.enable': 'false',
    'log.retention.hours': '-1',
    'log.retention.check.interval.ms': '1000',
    'log.cleaner.backoff.ms': '500',
    'broker.session.timeout.ms': '2000',
    'broker.heartbeat.interval.ms': '500',
  }
}

function secured(ports: readonly number[], certs: Certificates): Record<string, string> {
  const plain = `org.apache.kafka.common.security.plain.PlainLoginModule required user_${USER}="${PASSWORD}";`
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
  const names = ['SASL_PLAINTEXT', 'SSL', 'SASL_SSL'].map((n, i) => `${n}://127.0.0.1:${ports[i + 2]}`).join(',')
  const all: Record<string, string> = {
    listeners: `PLAINTEXT://127.0.0.1:${ports[0]},CONTROLLER://127.0.0.1:${ports[1]},${names}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${ports[0]},${names}`,
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': certs.brokerStore,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': certs.ca,
    'listener.name.ssl.ssl.client.auth': 'required',
  }
  for (const listener of ['sasl_plaintext', 'sasl_ssl']) {
    all[`listener.name.${listener}.plain.sasl.jaas.config`] = plain
    for (const m of ['256', '512']) all[`listener.name.${listener}.scram-sha-${m}.sasl.jaas.config`] = scram
  }
  return all
}

function lines(properties: Readonly<Record<string, string>>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

const LOG4J_2 = `rootLogger.level=INFO
rootLogger.appenderRefs=out
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
`
const LOG4J_1 = `log4j.rootLogger=INFO, OUT
log4j.appender.OUT=org.apache.log4j.ConsoleAppender
log4j.appender.OUT.layout=org.apache.log4j.PatternLayout
log4j.appender.OUT.layout.ConversionPattern=[%d] %p %m (%c)%n
`
