import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { certificates, type Certificates } from './kafka-files.ts'
import { freePorts, startWatched, type WatchedServer } from './processes.ts'

const run = promisify(execFile)

export interface RabbitMqOptions {
  /** Lines of rabbitmq.conf beside those of every test. */
  readonly config?: Readonly<Record<string, string | number>>
  /** With the management plugin. */
  readonly management?: boolean
  /** Listens with TLS as well, and wants a certificate of the client. */
  readonly tls?: boolean
}

/** A RabbitMQ of the test's own: one node, on loopback, with the user guest/guest. */
export interface RabbitMqServer {
  /** `amqp://127.0.0.1:port`, without user and vhost. */
  readonly url: string
  readonly port: number
  /** With TLS, where that was asked for; `certificates` has what a client needs. */
  readonly tlsPort: number
  readonly certificates: Certificates | null
  /** Of the management, where that was asked for. */
  readonly management: string
  pids(): number[]
  /** `rabbitmqctl`; takes a second or two. */
  ctl(...args: readonly string[]): Promise<string>
  /** What is known of queues is on the disk: RabbitMQ 3.10 writes that seconds later, and forgets a queue's leader without. */
  settle(): Promise<void>
  /** SIGKILL; the data stays. */
  kill(): Promise<void>
  /** On the same ports and data. */
  restart(): Promise<void>
  stop(): Promise<void>
}

const READY_WITHIN_MS = 90_000
const READY = 'Server startup complete'

/** Where the scripts lie that run as whoever calls them; those in the path change the user. */
function scriptsOfRabbitMq(): string {
  const folders = ['/usr/lib/rabbitmq/bin', ...(process.env['PATH'] ?? '').split(delimiter)]
  return folders.find((dir) => existsSync(join(dir, 'rabbitmq-server'))) ?? ''
}

/** '' = it can be started, else why not. */
export function whyNoRabbitMq(): string {
  return scriptsOfRabbitMq() === '' ? 'needs rabbitmq-server' : ''
}

export async function startRabbitMq(o: RabbitMqOptions = {}): Promise<RabbitMqServer> {
  const scripts = scriptsOfRabbitMq()
  const [port = 0, names = 0, dist = 0, management = 0, tlsPort = 0] = await freePorts(5)
  const certs = o.tls === true ? await certificates() : null
  const root = await mkdtemp(join(tmpdir(), 'rabbitmq-'))
  await mkdir(join(root, 'log'))
  await writeFile(join(root, 'plugins'), o.management === true ? '[rabbitmq_management].\n' : '[].\n')
  const config = {
    'listeners.tcp.1': `127.0.0.1:${port}`,
    'log.console': 'true',
    'log.console.level': 'info',
    'log.file': 'false',
    'raft.wal_max_size_bytes': 32_000_000,
    'disk_free_limit.absolute': '50MB',
    ...(o.management === true ? { 'management.tcp.ip': '127.0.0.1', 'management.tcp.port': management } : {}),
    ...(certs === null ? {} : tlsConfig(certs, tlsPort)),
    ...o.config,
  }
  const lines = Object.entries(config).map(([name, value]) => `${name} = ${value}\n`)
  await writeFile(join(root, 'rabbitmq.conf'), lines.join(''))
  const env = {
    HOME: root,
    RABBITMQ_NODENAME: `sluice${port}@localhost`,
    RABBITMQ_MNESIA_BASE: join(root, 'data'),
    RABBITMQ_LOG_BASE: join(root, 'log'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(root, 'plugins'),
    RABBITMQ_CONFIG_FILE: join(root, 'rabbitmq.conf'),
    RABBITMQ_CONF_ENV_FILE: join(root, 'none'),
    RABBITMQ_DIST_PORT: String(dist),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(names),
    // Schedulers that spin while they wait cost the machine of the tests half a core.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}',
    // Makes the script become the server, so that its id is the server's.
    RUNNING_UNDER_SYSTEMD: '1',
  }
  const pairs = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  // The server would start one by itself and leave it behind.
  const namer = await startWatched('epmd', ['-port', String(names), '-address', '127.0.0.1'], join(root, 'epmd.log'))
  const start = (): Promise<WatchedServer> =>
    launch(root, ['-i', `PATH=${process.env['PATH'] ?? ''}`, ...pairs, join(scripts, 'rabbitmq-server')])
  let running = await start()
  const ctl = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await run(join(scripts, 'rabbitmqctl'), ['-q', '-n', env.RABBITMQ_NODENAME, ...args], {
      env: { PATH: process.env['PATH'], ...env },
    })
    return stdout
  }
  return {
    url: `amqp://127.0.0.1:${port}`,
    port,
    tlsPort,
    certificates: certs,
    management: `http://127.0.0.1:${management}`,
    pids: () => [namer, running].filter((s) => s.running()).map((s) => s.pid),
    ctl,
    async settle() {
      await ctl('eval', '[ok = dets:sync(T) || T <- dets:all()].')
    },
    kill: () => running.kill('SIGKILL'),
    async restart() {
      running = await start()
    },
    async stop() {
      await running.kill('SIGKILL')
      await namer.kill('SIGKILL')
      await rm(root, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

function tlsConfig(certs: Certificates, port: number): Readonly<Record<string, string | number>> {
  const folder = dirname(certs.brokerStore)
  return {
    'listeners.ssl.1': `127.0.0.1:${port}`,
    'ssl_options.cacertfile': certs.ca,
    'ssl_options.certfile': join(folder, 'broker.crt'),
    'ssl_options.keyfile': join(folder, 'broker.key'),
    'ssl_options.verify': 'verify_peer',
    'ssl_options.fail_if_no_peer_cert': 'true',
  }
}

async function launch(root: string, command: readonly string[]): Promise<WatchedServer> {
  const log = join(root, 'server.log')
  await writeFile(log, '', { flag: 'a' })
  const from = (await readFile(log)).length
  const server = await startWatched('env', command, log, root)
  const deadline = Date.now() + READY_WITHIN_MS
  while (!(await readFile(log)).subarray(from).includes(READY)) {
    if (!server.running()) throw new Error(`RabbitMQ ended while it started:\n${(await readFile(log, 'utf8')).slice(-3000)}`)
    if (Date.now() > deadline) throw new Error(`RabbitMQ was not ready within ${READY_WITHIN_MS} ms, see ${log}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return server
}
