import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, inject } from 'vitest'

/** Of the gateway as it is installed where the run has one, else of the checkout. */
const built = inject('built') as string | undefined
const root = built ?? join(import.meta.dirname, '..')
/** The command line. */
export const sluice = join(root, 'bin', 'sluice.js')
/** Of every process of it: compiled code is kept beside what was built and goes with it. */
export const environment: NodeJS.ProcessEnv = {
  ...process.env,
  ...(built === undefined ? {} : { NODE_COMPILE_CACHE: join(built, 'cache') }),
}

/** A gateway as its own process, on a folder of its own. */
export interface RunningGateway {
  readonly pid: number
  readonly listen: string
  readonly admin: string
  readonly data: string
  readonly log: readonly string[]
  /** The file with its resources. */
  readonly file: string
  /** Exit code once it has ended, null after a signal. */
  readonly gone: Promise<number | null>
  signal(name: NodeJS.Signals): void
  /** Asks the admin API. */
  api<T>(path: string, body?: unknown): Promise<T>
  metrics(): Promise<string>
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
}

export interface GatewayOptions {
  /** Resources as objects. */
  readonly manifests: readonly unknown[]
  readonly data?: string
  readonly args?: readonly string[]
  readonly listen?: string
  readonly env?: Readonly<Record<string, string>>
  /** Another Node than that of the tests. */
  readonly node?: string
}

const open = new Set<ChildProcess>()
const folders: string[] = []
const cleanUp = (): void => {
  for (const child of open) child.kill('SIGKILL')
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}
// After each file; and when its process ends before that.
afterAll(cleanUp)
process.on('exit', cleanUp)

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-test-'))
  folders.push(folder)
  return folder
}

export function writeManifests(folder: string, manifests: readonly unknown[]): string {
  const file = join(folder, 'manifests.json')
  writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }))
  return file
}

/** `host:port` nobody listens on, for a gateway that comes back on it. */
export async function freeAddress(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
}

/** Runs the command line to its end. */
export function runCli(args: readonly string[], input = ''): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [sluice, ...args], { stdio: ['pipe', 'pipe', 'pipe'], env: environment })
    let out = ''
    let err = ''
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, out, err }))
    child.stdin.end(input)
  })
}

export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const folder = temporaryFolder()
  const data = options.data ?? join(folder, 'data')
  const file = writeManifests(folder, options.manifests)
  const child = spawn(
    options.node ?? process.execPath,
    [
      sluice,
      ...['run', '-f', file, '--listen', options.listen ?? '127.0.0.1:0', '--admin', '127.0.0.1:0', '--data', data],
      ...(options.args ?? []),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...environment, ...options.env } },
  )
  open.add(child)
  const log: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => {
    log.push(line)
    if (log.length > 5_000) log.shift()
  })
  const gone = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  void gone.then(() => open.delete(child))
  const ready = await new Promise<{ listen: string; admin: string; pid: number }>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', (line) =>
      resolve(JSON.parse(line) as { listen: string; admin: string; pid: number }),
    )
    void gone.then((code) => reject(new Error(`the gateway ended with ${code}: ${log.slice(-20).join('\n')}`)))
  })
  const token = async (): Promise<string> => {
    const { readFile } = await import('node:fs/promises')
    return (await readFile(join(data, 'admin.token'), 'utf8')).trim()
  }
  return {
    pid: ready.pid,
    listen: ready.listen,
    admin: ready.admin,
    data,
    log,
    file,
    gone,
    signal: (name) => void child.kill(name),
    async api<T>(path: string, body?: unknown): Promise<T> {
      const response = await fetch(ready.admin + path, {
        headers: { authorization: `Bearer ${await token()}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      })
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
      return (await response.json()) as T
    },
    metrics: async () => (await fetch(`${ready.admin}/metrics`)).text(),
    stop() {
      child.kill('SIGTERM')
      return gone
    },
    async kill() {
      child.kill('SIGKILL')
      await gone
    },
  }
}

/** One event in binary mode; resolves with the status. */
export async function post(
  url: string,
  id: string,
  more: Readonly<Record<string, string>> = {},
  data = '{"n":1}',
): Promise<number> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-source': '/test',
      'ce-type': 'test.event',
      'content-type': 'application/json',
      ...more,
    },
    body: data,
  })
  await response.arrayBuffer()
  return response.status
}

export function broker(name = 'default', more: { annotations?: Record<string, string>; spec?: unknown } = {}): unknown {
  return {
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Broker',
    metadata: { name, annotations: more.annotations ?? {} },
    spec: more.spec ?? {},
  }
}

export function trigger(
  name: string,
  subscriber: unknown,
  more: { annotations?: Record<string, string>; broker?: string; spec?: Record<string, unknown> } = {},
): unknown {
  return {
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Trigger',
    metadata: { name, annotations: more.annotations ?? {} },
    spec: {
      broker: more.broker ?? 'default',
      subscriber: typeof subscriber === 'string' ? { uri: subscriber } : subscriber,
      ...more.spec,
    },
  }
}
