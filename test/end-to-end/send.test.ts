import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { broker, runCli, startGateway, trigger, type RunningGateway } from '../gateway.ts'
import { startSink, type Sink } from '../sink.ts'
import { until } from '../until.ts'

interface Summary {
  readonly requests: number
  readonly events: number
  readonly failed: number
  readonly seconds: number
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly statuses: Readonly<Record<string, number>>
}

let g: RunningGateway
let sink: Sink
beforeAll(async () => {
  sink = await startSink()
  g = await startGateway({ manifests: [broker(), trigger('all', sink.url)] })
})
afterAll(async () => {
  await g.stop()
  await sink.close()
})
const url = (): string => `${g.listen}/default/default`
async function summary(...args: string[]): Promise<Summary> {
  const { code, out, err } = await runCli(['send', url(), '-q', '-o', 'json', ...args])
  expect(err).toBe('')
  expect(code).toBe(0)
  return JSON.parse(out) as Summary
}

describe('send', () => {
  test.each([
    ['binary', 30],
    ['structured', 30],
    ['batch', 150],
  ] as const)('%s: every event arrives once, whole', async (mode, events) => {
    const result = await summary(
      '--mode',
      mode,
      '--count',
      '30',
      '--batch-size',
      '5',
      '--id',
      mode,
      '-a',
      'color=blue',
      '-d',
      'hällo',
      '--content-type',
      'text/plain',
    )
    expect(result).toMatchObject({ requests: 30, events, failed: 0, statuses: { 202: 30 } })
    expect(result.latencyMs.p50).toBeGreaterThan(0)
    expect(result.latencyMs.max).toBeGreaterThanOrEqual(result.latencyMs.p99)
    const mine = (): Sink['seen'] => sink.seen.filter((s) => s.id.startsWith(`${mode}-`))
    await until('all arrive', () => mine().length === events)
    expect(new Set(mine().map((s) => s.id))).toEqual(new Set(Array.from({ length: events }, (_, i) => `${mode}-${i}`)))
    for (const seen of mine()) {
      expect(seen.body).toBe('hällo')
      expect(seen.headers['ce-color']).toBe('blue')
      expect(seen.headers['content-type']).toMatch(/^text\/plain/)
    }
  })

  test('one event takes the id as it is; --rate paces, --concurrency bounds', async () => {
    await summary('--id', 'only-one')
    await until('it arrives', () => sink.counts().has('only-one'))
    const paced = await summary('--count', '21', '--rate', '20', '--concurrency', '2')
    expect(paced.requests).toBe(21)
    // The twenty-first is due after a second.
    expect(paced.seconds).toBeGreaterThan(0.95)
    const sized = await summary('--count', '3', '--size', '5000', '--id', 'big')
    expect(sized.events).toBe(3)
    await until('they arrive', () => sink.counts().has('big-2'))
    expect(sink.seen.find((s) => s.id === 'big-0')?.body).toMatch(/^[0-9a-f]{5000}$/)
  })

  test('concurrency is what the receiver sees', async () => {
    const slow = await startSink((_seen, response) => setTimeout(() => response.writeHead(202).end(), 20))
    const { code } = await runCli(['send', slow.url, '-q', '--count', '40', '--concurrency', '3'])
    expect(code).toBe(0)
    expect(slow.mostInFlight()).toBe(3)
    expect(slow.counts().size).toBe(40)
    await slow.close()
  })

  test('what is not taken is counted by reason: exit 1', async () => {
    const nowhere = await runCli(['send', `${g.listen}/default/nowhere`, '-q', '--count', '3'])
    expect(nowhere.code).toBe(1)
    expect(nowhere.out).toMatch(/^status +404: 3$/m)
    expect(nowhere.out).toMatch(/^failed +3 × status 404$/m)
    const free = await startSink()
    await free.close()
    const nobody = await runCli(['send', free.url, '-q', '--count', '2'])
    expect(nobody.code).toBe(1)
    expect(nobody.out).toMatch(/ECONNREFUSED/)
  })
})
