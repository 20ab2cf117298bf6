import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { expect, inject, test } from 'vitest'

const { bootstrap, missing } = inject('kafka')
const root = join(import.meta.dirname, '..', '..')

interface Result {
  readonly code: number | null
  readonly out: string
}

function bench(...args: string[]): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'bench', 'main.ts'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, KAFKA_BOOTSTRAP: bootstrap },
    })
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (out += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, out }))
  })
}

/** Figures a benchmark printed: name and number. */
function figuresOf(out: string): [string, number][] {
  return out
    .split('\n')
    .map((line) => /^ {2}(\S.*?) {2,}(-?[\d.e+-]+) /.exec(line))
    .flatMap((m) => (m === null ? [] : [[m[1] ?? '', Number(m[2])] as [string, number]]))
}

const FIGURES: Readonly<Record<string, number>> = { ingress: 9, 'fan-out': 7, latency: 7, idle: 3 }

test.each(Object.entries(FIGURES))('bench %s prints its %i figures, with a small count', async (name, count) => {
  const { code, out } = await bench(name, '--count', '400')
  expect(code, out).toBe(0)
  const figures = figuresOf(out)
  expect(figures.length, out).toBe(count)
  expect(figures.every(([, value]) => Number.isFinite(value))).toBe(true)
})

const KAFKA_FIGURES: Readonly<Record<string, number>> = { 'kafka-to-http': 5, 'kafka-live': 8, 'slow-service': 4, ordered: 5 }

test.skipIf(missing !== '').each(Object.entries(KAFKA_FIGURES))(
  `bench %s prints its %i figures, with a small count${missing === '' ? '' : ` (${missing})`}`,
  async (name, count) => {
    const { code, out } = await bench(name, '--count', '400')
    expect(code, out).toBe(0)
    expect(figuresOf(out).length, out).toBe(count)
  },
)

/** Five figures of publishing, five of delivering, five of Kafka with a hundred triggers. */
const SYSTEMS: Readonly<Record<string, number>> = { embedded: 10, kafka: 15, nats: 10, rabbitmq: 10, rocketmq: 10 }

test.skipIf(missing !== '').each(Object.entries(SYSTEMS))(
  `bench streams measures %s, or names it as skipped${missing === '' ? '' : ` (${missing})`}`,
  async (name, count) => {
    const { code, out } = await bench('streams', '--only', name, '--count', '300')
    if (process.env['CI'] !== 'true' && out.includes(': skipped: ')) return
    expect(code, out).toBe(0)
    expect(figuresOf(out).length, out).toBe(count)
  },
)

test('a benchmark that does not exist is named, and the help lists those that do', async () => {
  const unknown = await bench('no-such')
  expect(unknown.code).toBe(2)
  expect(unknown.out).toContain('no-such')
  const help = await bench('--help')
  expect(help.code).toBe(0)
  for (const name of [...Object.keys(FIGURES), ...Object.keys(KAFKA_FIGURES), 'streams']) expect(help.out).toContain(name)
})
