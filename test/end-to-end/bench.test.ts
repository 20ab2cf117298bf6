import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { environment } from '../gateway.ts'
import { sharedRocketMq } from '../servers/rocketmq-provided.ts'

const { bootstrap, missing } = inject('kafka')
const note = missing === '' ? '' : ` (${missing})`
const root = join(import.meta.dirname, '..', '..')
const MINUTES = 60_000

interface Result {
  readonly code: number | null
  readonly out: string
}

function bench(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'bench', 'main.ts'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...environment, SLUICE_BUILT: inject('built'), KAFKA_BOOTSTRAP: bootstrap, ...env },
    })
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (out += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, out }))
  })
}

/** Figures a benchmark printed below its name: name and number. */
function figuresOf(out: string, scenario: string): [string, number][] {
  const [, section = ''] = `\n${out}`.split(`\n${scenario}: `)
  return (section.split('\n\n')[0] ?? '')
    .split('\n')
    .map((line) => /^ {2}(\S.*?) {2,}(-?[\d.e+-]+) /.exec(line))
    .flatMap((m) => (m === null ? [] : [[m[1] ?? '', Number(m[2])] as [string, number]]))
}

function expectFigures(figures: readonly [string, number][], count: number, out: string): void {
  expect(figures.length, out).toBe(count)
  expect(figures.every(([, value]) => Number.isFinite(value))).toBe(true)
}

/** Scenarios that one start runs: to load what all of them need takes longer than a small count of events. */
function together(names: Readonly<Record<string, number>>, count: number, skip: boolean): void {
  describe.skipIf(skip)(`with --count ${count}`, () => {
    let result: Result = { code: null, out: '' }
    beforeAll(async () => {
      result = await bench([...Object.keys(names), '--count', String(count)])
    }, 15 * MINUTES)

    test.each(Object.entries(names))('bench %s prints its %i figures', (name, figures) => {
      expect(result.code, result.out).toBe(0)
      expectFigures(figuresOf(result.out, name), figures, result.out)
    })
  })
}

const HTTP = { ingress: 9, 'fan-out': 7, latency: 7, idle: 3 }
const KAFKA = { 'kafka-to-http': 5, 'kafka-live': 8, 'slow-service': 4, ordered: 5 }
together(HTTP, 200, false)
together(KAFKA, 400, missing !== '')

/** Five figures of publishing, five of delivering, five of Kafka with a hundred triggers. */
const SYSTEMS = { embedded: 10, Kafka: 15, NATS: 10, RabbitMQ: 10, RocketMQ: 10 }

describe.skipIf(missing !== '')(`bench streams, with a small count${note}`, () => {
  let result: Result = { code: null, out: '' }
  beforeAll(async () => {
    const rocketMq = sharedRocketMq()
    const { endpoint, nameServer } = await rocketMq.address()
    const servers = { RABBITMQ_PORT: String(inject('rabbitmq').port), ROCKETMQ_ADDRESSES: `${endpoint},${nameServer}` }
    result = await bench(['streams', '--count', '300'], servers)
  }, 15 * MINUTES)

  test.each(Object.entries(SYSTEMS))('measures %s in %i figures, or names it as skipped', (name, count) => {
    if (process.env['CI'] !== 'true' && result.out.includes(`${name}: skipped: `)) return
    expect(result.code, result.out).toBe(0)
    const figures = figuresOf(result.out, 'streams').filter(([figure]) => figure.startsWith(`${name}, `))
    expectFigures(figures, count, result.out)
  })
})

test('a benchmark that does not exist is named, and the help lists those that do', async () => {
  const [unknown, help] = await Promise.all([bench(['no-such']), bench(['--help'])])
  expect(unknown.code).toBe(2)
  expect(unknown.out).toContain('no-such')
  expect(help.code).toBe(0)
  for (const name of [...Object.keys(HTTP), ...Object.keys(KAFKA), 'streams']) expect(help.out).toContain(name)
})
