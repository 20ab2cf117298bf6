import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePorts, startWatched, type WatchedServer } from './processes.ts'

export interface NatsOptions {
  /** Lines of nats-server.conf beside those of every test: authorization, tls. */
  readonly config?: string
  /** Bytes of one message; NATS's own figure is 1 MiB. */
  readonly maxPayload?: number
}

/** A NATS with JetStream of the test's own, on loopback; ready within a tenth of a second. */
export interface NatsServer {
  /** `nats://127.0.0.1:port`. */
  readonly url: string
  readonly port: number
  pids(): number[]
  /** SIGKILL; the data stays. */
  kill(): Promise<void>
  /** On the same port and data, with other lines of configuration where they are given. */
  restart(config?: string): Promise<void>
  stop(): Promise<void>
}

const READY_WITHIN_MS = 30_000
const MAX_PAYLOAD = 8 * 2 ** 20

function binaryOfNats(): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return [...folders, '/usr/sbin', '/usr/local/bin'].map((dir) => join(dir, 'nats-server')).find((file) => existsSync(file)) ?? ''
}

/** Whether a test may start a NATS: it is so quick that each file has its own. */
export function ownNats(): { readonly skip: boolean; readonly note: string } {
  const skip = binaryOfNats() === ''
  if (skip && process.env['CI'] === 'true') throw new Error('the NATS tests cannot run: nats-server is not installed')
  return { skip, note: skip ? ' (skipped: needs nats-server)' : '' }
}

export async function startNats(o: NatsOptions = {}): Promise<NatsServer> {
  const [port = 0] = await freePorts(1)
  const root = await mkdtemp(join(tmpdir(), 'nats-'))
  const file = join(root, 'nats.conf')
  const start = async (config: string): Promise<WatchedServer> => {
    const lines = [
      `listen: "127.0.0.1:${port}"`,
      `max_payload: ${o.maxPayload ?? MAX_PAYLOAD}`,
      `jetstream { store_dir: "${join(root, 'data')}" }`,
      config,
    ]
    await writeFile(file, lines.join('\n') + '\n')
    const log = join(root, 'nats.log')
    const server = await startWatched(binaryOfNats(), ['-c', file], log, root)
    await listening(port, server, log)
    return server
  }
  let running = await start(o.config ?? '')
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    pids: () => (running.running() ? [running.pid] : []),
    kill: () => running.kill('SIGKILL'),
    async restart(config) {
      running = await start(config ?? o.config ?? '')
    },
    async stop() {
      await running.kill('SIGKILL')
      await rm(root, { recursive: true, force: true })
    },
  }
}

async function listening(port: number, server: WatchedServer, log: string): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS
  while (!(await takes(port))) {
    if (!server.running()) throw new Error(`NATS ended while it started:\n${(await readFile(log, 'utf8')).slice(-3000)}`)
    if (Date.now() > deadline) throw new Error(`NATS was not ready within ${READY_WITHIN_MS} ms, see ${log}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function takes(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('data', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
  })
}
