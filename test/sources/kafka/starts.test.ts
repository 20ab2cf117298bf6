import { expect, test } from 'vitest'
import { SILENT_LOG } from '../../../src/runtime/log.ts'
import { Backoff, Health } from '../../../src/sources/kafka/health.ts'
import { Lanes } from '../../../src/sources/kafka/lanes.ts'
import { kafkaOptions, revokeWaitMs } from '../../../src/sources/kafka/settings.ts'
import { firstStart } from '../../../src/sources/kafka/starts.ts'
import { EARLIEST, LATEST } from '../../../src/vendor/kafka/calls.ts'

test.each([
  [{ at: 'committed', otherwise: { at: 'latest' } } as const, 'earliest' as const, EARLIEST],
  [{ at: 'committed', otherwise: { at: 'latest' } } as const, 'latest' as const, LATEST],
  [{ at: 'committed', otherwise: { at: 'earliest' } } as const, 'latest' as const, EARLIEST],
  [{ at: 'time', timeMs: 5 } as const, 'earliest' as const, 5],
  [{ at: 'latest' } as const, 'earliest' as const, EARLIEST],
])('a group without offsets begins, for %j with initialOffset %s, at %d', (from, initial, expected) => {
  expect(firstStart(from, initial)).toBe(expected)
})

test('what is left out of the settings has its default, and undefined is left out', () => {
  const o = kafkaOptions({
    bootstrapServers: ['b'],
    topics: ['t'],
    consumerGroup: 'g',
    initialOffset: 'latest',
    namespace: 'n',
    name: 'm',
    ...({ isolation: undefined } as object),
  })
  expect(o).toMatchObject({ isolation: 'read_committed', partitionFetchBytes: 65_536, sasl: null })
  expect(revokeWaitMs(o)).toBe(10_000)
  expect(revokeWaitMs({ ...o, rebalanceTimeoutMs: 6_000 })).toBe(3_000)
})

test('lanes are numbered once, and come back grouped by topic', () => {
  const lanes = new Lanes()
  expect([lanes.of('a', 0), lanes.of('b', 0), lanes.of('a', 2), lanes.of('a', 0)]).toEqual([0, 1, 2, 0])
  expect(lanes.grouped([2, 1, 0])).toEqual([
    { topic: 'a', partitions: [2, 0] },
    { topic: 'b', partitions: [0] },
  ])
  expect([...lanes.all([{ topic: 'a', partitions: [2, 3] }])]).toEqual([2, 3])
})

test('a complaint stands until its part is well again, and is logged when it begins, changes and ends', () => {
  const lines: string[] = []
  const log = { ...SILENT_LOG, warn: (m: string) => lines.push(`warn ${m}`), info: (m: string) => lines.push(`info ${m}`) }
  const h = new Health(log)
  h.bad('a', 'R1', 'first')
  h.bad('a', 'R1', 'still')
  h.bad('b', 'R2', 'other')
  h.bad('c', 'R1', 'elsewhere')
  expect(h.complaint).toEqual({ reason: 'R1', message: 'still' })
  h.good('c')
  h.good('a')
  h.good('a')
  expect(h.complaint?.reason).toBe('R2')
  h.good('b')
  expect(h.complaint).toBeUndefined()
  expect(lines.map((l) => l.slice(0, 4))).toEqual(['warn', 'warn', 'info', 'info'])
})

test('a back-off doubles up to its limit, jittered, and starts over', () => {
  const b = new Backoff(100, 500, { next: () => 0.5 })
  expect([b.nextMs(), b.nextMs(), b.nextMs(), b.nextMs(), b.nextMs()]).toEqual([100, 200, 400, 500, 500])
  b.reset()
  expect(b.nextMs()).toBe(100)
  expect(new Backoff(100, 500, { next: () => 0 }).nextMs()).toBe(80)
})
