import { afterEach, beforeAll, expect, test } from 'vitest'
import type { Appended } from '../../../src/contract/stream.ts'
import { SILENT_LOG } from '../../../src/runtime/log.ts'
import { seededRandom } from '../../../src/runtime/random.ts'
import type { Cluster } from '../../../src/sources/kafka/cluster.ts'
import { Health } from '../../../src/sources/kafka/health.ts'
import { Producer } from '../../../src/streams/kafka/producer.ts'
import { loadKafkaLibrary } from '../../../src/vendor/kafka/library.ts'
import type { KafkaLink } from '../../../src/vendor/kafka/link.ts'
import { VirtualClock } from '../../simulation/virtual-clock.ts'
import { event } from '../rig.ts'

const ADDRESS = { host: '127.0.0.1', port: 1 }
const STEP_MS = 50

beforeAll(async () => {
  await loadKafkaLibrary()
})

let closing: (() => Promise<void>) | null = null
afterEach(async () => {
  await closing?.()
  closing = null
})

/** A producer on a cluster of one broker, which answers every request or cannot be reached; `known` = it was reached before. */
function rig(known = true): {
  reachable: boolean
  readonly producer: Producer
  readonly health: Health
  /** Ms of the virtual clock until it is answered, and how. */
  append(): Promise<{ readonly how: Appended; readonly afterMs: number }>
  /** Lets so much time go by. */
  pass(ms: number): Promise<void>
} {
  const clock = new VirtualClock()
  const answer = { responses: [{ partitionResponses: [{ index: 0, errorCode: 0, baseOffset: 0n }] }] }
  const connection = {
    send: (...args: readonly unknown[]) => (args.at(-1) as (e: null, a: unknown) => void)(null, answer),
  }
  const link = {
    established: () => (r.reachable ? connection : undefined),
    connection: () => (r.reachable ? Promise.resolve(connection) : Promise.reject(new Error('connect ECONNREFUSED'))),
  } as unknown as KafkaLink
  const cluster = {
    view: known ? { brokers: new Map([[1, ADDRESS]]), topics: new Map() } : null,
    topic: () => (known ? { partitions: [{ leader: 1, code: 0 }] } : undefined),
    refreshSoon() {},
  } as unknown as Cluster
  const health = new Health(SILENT_LOG)
  const producer = new Producer({
    link,
    cluster,
    topic: 'orders',
    structured: false,
    maxEventBytes: 2 ** 20,
    clock,
    random: seededRandom(1),
    health,
    ended() {},
    appended() {},
    settle() {},
  })
  closing = () => producer.close(AbortSignal.abort())
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      clock.advance(STEP_MS)
      // What the link rejects is seen by the producer before time goes on.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const r = {
    reachable: true,
    producer,
    health,
    pass,
    async append() {
      const fromMs = clock.now()
      const answers: Appended[] = []
      producer.append([event('e')], (how) => answers.push(how), {})
      while (answers.length === 0 && clock.now() - fromMs < 60_000) await pass(STEP_MS)
      const [how] = answers
      if (how === undefined) throw new Error('it is never answered')
      return { how, afterMs: clock.now() - fromMs }
    },
  }
  return r
}

const AWAY = { kind: 'unavailable', why: expect.stringContaining('ECONNREFUSED') }

test('a cluster that was there is waited for as long as an election takes', async () => {
  const r = rig()
  expect((await r.append()).how).toEqual({ kind: 'durable' })
  r.reachable = false
  const { how, afterMs } = await r.append()
  expect(how).toMatchObject(AWAY)
  expect(afterMs).toBeGreaterThan(10_000)
  expect(afterMs).toBeLessThan(11_000)
})

test('once it has been away for longer than that, every further append is told after a second, until it is back', async () => {
  const r = rig()
  r.reachable = false
  await r.append()
  for (let n = 0; n < 3; n++) {
    const { how, afterMs } = await r.append()
    expect(how).toMatchObject(AWAY)
    expect(afterMs).toBeGreaterThan(1_000)
    expect(afterMs).toBeLessThan(1_500)
    await r.pass(5_000)
  }
  r.reachable = true
  // One that comes when it is back is stored within the second that it is given.
  expect((await r.append()).how).toEqual({ kind: 'durable' })
  r.reachable = false
  // And the next outage is waited for anew.
  expect((await r.append()).afterMs).toBeGreaterThan(10_000)
})

test('a cluster that was never reached is told at once, also while nothing may go out yet', async () => {
  const r = rig(false)
  r.producer.hold()
  r.health.bad('cluster', 'KafkaUnreachable', 'connect ECONNREFUSED')
  const { how, afterMs } = await r.append()
  expect(how).toMatchObject(AWAY)
  expect(afterMs).toBeLessThanOrEqual(STEP_MS)
})
