import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildGateway } from '../test/servers/built.ts'
import { cpuMs, start, type Measured } from './processes.ts'

const READY_WITHIN_MS = 120_000

/** The gateway under test, on core 0. */
export interface GatewayUnderTest extends Measured {
  readonly listen: string
  readonly admin: string
}

export async function startGateway(
  manifests: readonly unknown[],
  args: readonly string[] = [],
  folder = temporaryFolder(),
): Promise<GatewayUnderTest> {
  const file = join(folder, 'manifests.json')
  writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }))
  const gateway = start(
    join(await builtCopy(), 'bin', 'sluice.js'),
    [
      'run',
      '-f',
      file,
      '--listen',
      '127.0.0.1:0',
      '--admin',
      '127.0.0.1:0',
      '--data',
      join(folder, 'data'),
      '--log-level',
      'warn',
      ...args,
    ],
    0,
    false,
  )
  const endMs = performance.now() + READY_WITHIN_MS
  for (;;) {
    const line = gateway.output
      .join('')
      .split('\n')
      .find((l) => l.startsWith('{"event":"ready"'))
    if (line !== undefined) return { ...gateway, ...(JSON.parse(line) as { listen: string; admin: string }) }
    if (performance.now() > endMs) throw new Error(`the gateway is not ready: ${gateway.output.join('')}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const folders: string[] = []

/** Gone with the process. */
export function temporaryFolder(): string {
  if (folders.length === 0)
    process.on('exit', () => {
      for (const folder of folders) rmSync(folder, { recursive: true, force: true })
    })
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  folders.push(folder)
  return folder
}

let copy: Promise<string> | null = null

/** The gateway as it is installed: compiled, without the sources beside it. `SLUICE_BUILT` names one that is there already. */
export function builtCopy(): Promise<string> {
  const given = process.env['SLUICE_BUILT']
  if (given !== undefined) return Promise.resolve(given)
  copy ??= buildGateway().then(({ folder }) => {
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
    return folder
  })
  return copy
}

export async function startSink(delayMs = 0): Promise<Measured & { readonly port: number }> {
  const sink = start(join(import.meta.dirname, 'sink.ts'), [String(delayMs)], 1)
  return { ...sink, port: await sink.message<number>('ready') }
}

/** Waits until the sink has `n`, and says what `pid` spent between the first fifth and the end: start-up and warm-up are left out. */
export async function measureFlow(sink: Measured, pid: number, n: number): Promise<{ eventsPerS: number; cpuUs: number }> {
  const warm = Math.floor(n / 5)
  await sink.ask('until', warm)
  const [cpu0, at0, count0] = [cpuMs(pid), performance.now(), await sink.ask<number>('count')]
  await sink.ask('until', n)
  const [cpu1, at1] = [cpuMs(pid), performance.now()]
  const count = n - count0
  return { eventsPerS: (count / (at1 - at0)) * 1_000, cpuUs: ((cpu1 - cpu0) / count) * 1_000 }
}

export const BROKER = { apiVersion: 'eventing.knative.dev/v1', kind: 'Broker', metadata: { name: 'default' }, spec: {} }

export function broker(annotations: Readonly<Record<string, string>> = {}): unknown {
  return { ...BROKER, metadata: { name: 'default', annotations } }
}

export function trigger(
  name: string,
  uri: string,
  spec: Readonly<Record<string, unknown>> = {},
  annotations: Readonly<Record<string, string>> = {},
): unknown {
  return {
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Trigger',
    metadata: { name, annotations },
    spec: { broker: 'default', subscriber: { uri }, ...spec },
  }
}

export function kafkaSource(
  bootstrap: string,
  topic: string,
  uri: string,
  more: { annotations?: Record<string, string>; spec?: Record<string, unknown> } = {},
): unknown {
  return {
    apiVersion: 'sources.knative.dev/v1',
    kind: 'KafkaSource',
    metadata: { name: 'source', annotations: { 'sluice.dev/max-concurrency': '64', ...more.annotations } },
    spec: {
      bootstrapServers: [bootstrap],
      topics: [topic],
      consumerGroup: `bench-${topic}-${Math.random().toString(36).slice(2)}`,
      initialOffset: 'earliest',
      ordering: 'unordered',
      sink: { uri },
      ...more.spec,
    },
  }
}
