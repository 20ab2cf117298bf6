import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Secret } from '../../src/runtime/secret.ts'
import { openAdmin } from '../../src/vendor/rocketmq/admin.ts'
import { RemotingLink } from '../../src/vendor/rocketmq/remoting.ts'
import { until } from '../until.ts'
import { certificates, javaBuild, settleIn, type Certificates } from './kafka-files.ts'
import { freePorts, startWatched, type WatchedServer } from './processes.ts'
import { CACHE, groupsFile, rocketMqJars, topicsFile, VERSION, type TestGroup, type TestTopic } from './rocketmq-files.ts'

const run = promisify(execFile)

export interface RocketMqOptions {
  readonly topics: readonly TestTopic[]
  readonly groups: readonly TestGroup[]
  /** Every client has to sign with `ACCESS_KEY` and `ACCESS_SECRET`. */
  readonly authentication?: boolean
}

/** A RocketMQ of the test's own: name server, and proxy with the broker in it. */
export interface RocketMqServer {
  /** `host:port` of the proxy; takes TLS (certificate of the tests' authority) and plain text. */
  readonly endpoint: string
  readonly certificates: Certificates
  pids(): number[]
  /** `host:port`, for an administrator. */
  readonly nameServer: string
  /** SIGKILL of proxy and broker; the data stays. */
  kill(): Promise<void>
  /** On the same ports and data. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export const ACCESS_KEY = 'alice'
export const ACCESS_SECRET = 'wonder-land'
const READY_WITHIN_MS = 150_000
const FLAGS = [
  '--add-opens',
  'java.base/java.nio=ALL-UNNAMED',
  '--add-opens',
  'java.base/sun.nio.ch=ALL-UNNAMED',
  '--add-exports',
  'java.base/sun.nio.ch=ALL-UNNAMED',
  '-XX:TieredStopAtLevel=1',
  '-XX:+UseSerialGC',
]

export async function startRocketMq(o: RocketMqOptions): Promise<RocketMqServer> {
  const lib = await rocketMqJars()
  const certs = await certificates()
  const [names = 0, broker = 0, ha = 0, grpc = 0, remoting = 0] = await freePorts(5)
  const root = await mkdtemp(join(tmpdir(), 'rocketmq-'))
  await mkdir(join(root, 'home'))
  await mkdir(join(root, 'conf'))
  await mkdir(join(root, 'store', 'config'), { recursive: true })
  await writeFile(join(root, 'store', 'config', 'topics.json'), topicsFile(o.topics))
  await writeFile(join(root, 'store', 'config', 'subscriptionGroup.json'), groupsFile(o.groups))
  const access = o.authentication === true ? AUTHENTICATION : {}
  await writeFile(join(root, 'namesrv.conf'), lines({ listenPort: names }))
  await writeFile(join(root, 'broker.conf'), lines({ ...brokerConfig(root, names, broker, ha), ...access }))
  const proxy = {
    rocketMQClusterName: 'DefaultCluster',
    namesrvAddr: `127.0.0.1:${names}`,
    grpcServerPort: grpc,
    remotingListenPort: remoting,
    grpcClientConsumerMinLongPollingTimeoutMillis: 1000,
    // So long it believes that a topic or a group it was asked for is missing.
    topicRouteServiceCacheRefreshSeconds: 2,
    topicConfigCacheRefreshSeconds: 2,
    subscriptionGroupConfigCacheRefreshSeconds: 2,
    tlsTestModeEnable: false,
    tlsKeyPath: join(dirname(certs.brokerStore), 'broker.key'),
    tlsCertPath: join(dirname(certs.brokerStore), 'broker.crt'),
    ...access,
    // The proxy asks the broker in it.
    ...(o.authentication === true
      ? { authenticationMetadataProvider: 'org.apache.rocketmq.proxy.auth.ProxyAuthenticationMetadataProvider' }
      : {}),
  }
  await writeFile(join(root, 'rmq-proxy.json'), JSON.stringify(proxy))
  const java = [...FLAGS, `-Drocketmq.home.dir=${root}`, `-Duser.home=${root}/home`, `-Djava.io.tmpdir=${root}/home`]
  const archive = await classArchive()
  const server = async (name: string, ready: string, flags: readonly string[], args: readonly string[]) =>
    launch(root, name, ready, [...java, ...archive.flags, ...flags, '-cp', `${lib}/*`, ...args])
  const startProxy = (): Promise<WatchedServer> =>
    server(
      'proxy',
      'startup successfully',
      ['-Xms128m', '-Xmx768m', '-XX:MaxDirectMemorySize=384m'],
      [
        'org.apache.rocketmq.proxy.ProxyStartup',
        ...['-pm', 'local', '-n', `127.0.0.1:${names}`, '-bc', join(root, 'broker.conf'), '-pc', join(root, 'rmq-proxy.json')],
      ],
    )
  const [nameServer, firstProxy] = await Promise.all([
    server(
      'namesrv',
      'Name Server boot success',
      ['-Xms48m', '-Xmx96m'],
      ['org.apache.rocketmq.namesrv.NamesrvStartup', '-c', join(root, 'namesrv.conf')],
    ),
    startProxy(),
  ])
  let running = firstProxy
  await archive.write(running.pid)
  await routed(`127.0.0.1:${names}`, `127.0.0.1:${broker}`, o)
  return {
    endpoint: `127.0.0.1:${grpc}`,
    nameServer: `127.0.0.1:${names}`,
    certificates: certs,
    pids: () => [nameServer, running].filter((s) => s.running()).map((s) => s.pid),
    kill: () => running.kill('SIGKILL'),
    async restart() {
      running = await startProxy()
      await routed(`127.0.0.1:${names}`, `127.0.0.1:${broker}`, o)
    },
    async stop() {
      await Promise.all([nameServer.kill('SIGKILL'), running.kill('SIGKILL')])
      await rm(root, { recursive: true, force: true })
    },
  }
}

const UPDATE_BROKER_CONFIG = 25
const READ_AND_WRITE = 6
const AGAIN_MS = 500

/**
 * The broker tells the name server of itself and its topics when it starts, if it has found the name server by then, and
 * after ten seconds. A change of its permission makes it do so at once.
 */
async function routed(nameServer: string, broker: string, o: RocketMqOptions): Promise<void> {
  const credentials = o.authentication === true ? { accessKey: ACCESS_KEY, accessSecret: new Secret(ACCESS_SECRET) } : null
  const admin = openAdmin({ nameServers: [nameServer], credentials, tls: null, cluster: '' })
  const link = new RemotingLink({ credentials, tls: null, callMs: 10_000 })
  const [topic] = o.topics
  let askedMs = performance.now()
  const known = async (): Promise<boolean> => {
    if (performance.now() - askedMs > AGAIN_MS) {
      await link.call(broker, UPDATE_BROKER_CONFIG, {}, Buffer.from(`brokerPermission=${READ_AND_WRITE}\n`))
      askedMs = performance.now()
    }
    await admin.groups()
    return topic === undefined || ((await admin.topic(topic.name))?.length ?? 0) > 0
  }
  try {
    await until('the broker is known to the name server', known, READY_WITHIN_MS)
  } finally {
    admin.close()
    link.close()
  }
}

/** A class-data archive halves what a start costs. Written by the first, once it is ready; without it starts are slower only. */
async function classArchive(): Promise<{ readonly flags: readonly string[]; write(pid: number): Promise<void> }> {
  const archive = join(CACHE, VERSION, `classes-${await javaBuild()}.jsa`)
  if (existsSync(archive)) return { flags: [`-XX:SharedArchiveFile=${archive}`], write: () => Promise.resolve() }
  const fresh = `${archive}.${process.pid}`
  return {
    flags: ['-XX:+RecordDynamicDumpInfo'],
    write: (pid) =>
      run('jcmd', [String(pid), 'VM.cds', 'dynamic_dump', fresh]).then(
        () => settleIn(fresh, archive),
        () => {},
      ),
  }
}

async function launch(root: string, name: string, ready: string, args: readonly string[]): Promise<WatchedServer> {
  const log = join(root, `${name}.log`)
  await writeFile(log, '', { flag: 'a' })
  const from = (await readFile(log)).length
  const server = await startWatched('java', args, log, root)
  const deadline = Date.now() + READY_WITHIN_MS
  while (!(await readFile(log)).subarray(from).includes(ready)) {
    if (!server.running()) throw new Error(`RocketMQ ended while it started:\n${(await readFile(log, 'utf8')).slice(-3000)}`)
    if (Date.now() > deadline) throw new Error(`RocketMQ was not ready within ${READY_WITHIN_MS} ms, see ${log}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return server
}

function brokerConfig(
  root: string,
  names: number,
  port: number,
  ha: number,
): Readonly<Record<string, string | number | boolean>> {
  return {
    brokerClusterName: 'DefaultCluster',
    brokerName: 'a',
    brokerId: 0,
    brokerIP1: '127.0.0.1',
    listenPort: port,
    haListenPort: ha,
    namesrvAddr: `127.0.0.1:${names}`,
    storePathRootDir: join(root, 'store'),
    storePathCommitLog: join(root, 'store', 'commitlog'),
    mappedFileSizeCommitLog: 67_108_864,
    mappedFileSizeConsumeQueue: 600_000,
    // A SimpleConsumer depends on the timer.
    timerWheelEnable: true,
    mappedFileSizeTimerLog: 10_485_760,
    // It compares 38 MB byte by byte each time: every second that is a third of a core.
    timerFlushIntervalMs: 5_000,
    enablePropertyFilter: true,
    autoCreateSubscriptionGroup: false,
    autoCreateTopicEnable: false,
    flushDiskType: 'ASYNC_FLUSH',
    // What a group has been given is forgotten with the process unless it was written.
    flushConsumerOffsetInterval: 1_000,
  }
}

const LOCAL = 'org.apache.rocketmq.auth.authentication.provider'
const AUTHENTICATION = {
  authenticationEnabled: true,
  authenticationProvider: `${LOCAL}.DefaultAuthenticationProvider`,
  authenticationMetadataProvider: `${LOCAL}.LocalAuthenticationMetadataProvider`,
  initAuthenticationUser: JSON.stringify({ username: ACCESS_KEY, password: ACCESS_SECRET }),
  innerClientAuthenticationCredentials: JSON.stringify({ accessKey: ACCESS_KEY, secretKey: ACCESS_SECRET }),
}

function lines(properties: Readonly<Record<string, string | number | boolean>>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}
