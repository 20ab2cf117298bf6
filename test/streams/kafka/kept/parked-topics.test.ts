import { beforeAll, describe, expect, test } from 'vitest'
import { SILENT_LOG } from '../../../../src/runtime/log.ts'
import { MemoryKv } from '../../../../src/store/memory-kv.ts'
import { ParkedIndex } from '../../../../src/streams/kafka/kept/parked-index.ts'
import { type Parked, ParkedTopics } from '../../../../src/streams/kafka/kept/parked-topics.ts'
import type { ParkedRecord } from '../../../../src/streams/kafka/kept/record.ts'
import type { Wish } from '../../../../src/streams/kafka/kept/topics.ts'
import type { Written } from '../../../../src/streams/kafka/kept/writer.ts'
import { loadKafkaLibrary } from '../../../../src/vendor/kafka/library.ts'
import { encodeBatch, type OutRecord } from '../../../../src/vendor/kafka/produce.ts'
import { RecordCursor } from '../../../../src/vendor/kafka/records.ts'
import { VirtualClock } from '../../../simulation/virtual-clock.ts'
import { event } from '../../rig.ts'

beforeAll(async () => void (await loadKafkaLibrary()))

const KEY = 'trigger/a/x'
const GROUP = 'g'

/** One cluster with one parked topic; every gateway that is opened on it sees the same log. */
class Cluster {
  readonly log: OutRecord[] = []
  wish: Wish = 'ready'
  written: ((offset: number) => Written) | null = null
  id = 'one'
}

class Gateway {
  readonly clock = new VirtualClock()
  readonly parked: ParkedTopics
  readonly #cluster: Cluster

  constructor(cluster: Cluster, most = { events: 5, bytes: 100_000 }) {
    this.#cluster = cluster
    this.parked = new ParkedTopics({
      topics: {
        get: (name) => (cluster.log.length > 0 ? { name, id: cluster.id, leaders: [1] } : undefined),
        watch: () => {},
        ensure: () => Promise.resolve(cluster.wish),
      },
      writer: {
        append: (_topic, _partition, record, done) => {
          const offset = cluster.log.length
          const w = cluster.written?.(offset) ?? { kind: 'written' as const, offset }
          if (w.kind === 'written') cluster.log.push(record)
          done(w)
        },
      },
      index: new ParkedIndex(() => new MemoryKv(this.clock), SILENT_LOG),
      log: SILENT_LOG,
      wrap: { namespace: 'ns', name: 'n', topic: 'main', keyType: 'string' },
      main: 'main',
      structured: false,
      most,
      reader: () => ({ kick: () => {} }),
    })
  }

  async pass(): Promise<void> {
    for (let i = 0; i < 30; i++) {
      this.clock.advance(1)
      for (let n = 0; n < 5; n++) await Promise.resolve()
    }
  }

  async park(at: number): Promise<Parked> {
    let how: Parked | undefined
    this.parked.park(GROUP, parkedAt(at), (h) => (how = h))
    await this.pass()
    expect(how).toBeDefined()
    return how!
  }

  /** Reads what stands in the log and was not read yet. */
  async follow(): Promise<void> {
    this.parked.topicsChanged()
    for (const p of this.parked.partitions()) {
      const records = this.#cluster.log.slice(p.fetchOffset)
      if (!p.wanted || records.length === 0) continue
      const batch = encodeBatch(records, 5)
      batch.writeBigInt64BE(BigInt(p.fetchOffset), 0)
      p.took(new RecordCursor(batch, p.fetchOffset, null), this.#cluster.log.length)
    }
    await this.pass()
  }

  get ids(): (string | undefined)[] {
    return this.parked.list(KEY, '', 100).map((e) => e.event?.id)
  }
}

function parkedAt(at: number): ParkedRecord {
  return {
    event: event(`e${at}`),
    undecodable: null,
    state: { dueMs: 0, story: [], phase: 'subscriber', reason: 'exhausted' },
    origin: { topic: 'main', partition: 0, offset: at, redelivery: 0 },
    subscription: KEY,
    parkedMs: 7,
  }
}

describe('parked topics', () => {
  test('are seen by every gateway, with the same ids, also by one that knows only the group', async () => {
    const cluster = new Cluster()
    const one = new Gateway(cluster)
    for (const at of [1, 2]) expect(await one.park(at)).toBe('parked')
    expect(one.parked.counts(KEY).events).toBe(2)
    const other = new Gateway(cluster)
    other.parked.follow(GROUP, '')
    await other.follow()
    expect(other.parked.keys()).toEqual([KEY])
    expect(other.parked.groupOf(KEY)).toBe(GROUP)
    const seenBy = (g: Gateway): unknown[] => g.parked.list(KEY, '', 9).map((e) => [e.id, e.event?.id, e.state, e.parkedMs])
    expect(seenBy(other)).toEqual(seenBy(one))
    // What it parked itself it reads once more, and has once.
    await one.follow()
    expect(one.ids).toEqual(['e1', 'e2'])
  })

  test('lose what any gateway removes, once', async () => {
    const cluster = new Cluster()
    const [one, other] = [new Gateway(cluster), new Gateway(cluster)]
    other.parked.follow(GROUP, KEY)
    for (const at of [1, 2, 3]) await one.park(at)
    await other.follow()
    const ids = other.parked.list(KEY, '', 2).map((e) => e.id)
    const removed = Promise.all([other.parked.remove(KEY, ids), other.parked.remove(KEY, ids)])
    await other.pass()
    expect(await removed).toEqual([2, 0])
    expect(other.ids).toEqual(['e3'])
    // It has not read its own entries yet: they do not come back.
    await one.follow()
    expect(one.ids).toEqual(['e3'])
    const late = new Gateway(cluster)
    late.parked.follow(GROUP, KEY)
    await late.follow()
    expect(late.ids).toEqual(['e3'])
  })

  test('what was removed before it was read does not come back with the reading', async () => {
    const cluster = new Cluster()
    const one = new Gateway(cluster)
    await one.park(1)
    const removed = one.parked.remove(KEY, [one.parked.list(KEY, '', 1)[0]!.id])
    await one.pass()
    expect(await removed).toBe(1)
    // The entry and what takes it back come in two answers.
    const [entry] = one.parked.partitions()
    const head = encodeBatch(cluster.log.slice(0, 1), 5)
    one.parked.topicsChanged()
    entry!.took(new RecordCursor(head, 0, null), 2)
    await one.pass()
    expect(one.ids).toEqual([])
    await one.follow()
    expect(one.parked.counts(KEY)).toEqual({ events: 0, bytes: 0 })
  })

  test('take no more than their bounds, and take again when something was removed', async () => {
    const one = new Gateway(new Cluster())
    const all = Promise.all(
      [1, 2, 3, 4, 5, 6].map((at) => new Promise<Parked>((done) => one.parked.park(GROUP, parkedAt(at), done))),
    )
    await one.pass()
    expect(await all).toEqual(['parked', 'parked', 'parked', 'parked', 'parked', 'not now'])
    expect(await one.park(6)).toBe('not now')
    const removed = one.parked.remove(KEY, [one.parked.list(KEY, '', 1)[0]!.id])
    await one.pass()
    expect(await removed).toBe(1)
    expect(await one.park(6)).toBe('parked')
    const small = new Gateway(new Cluster(), { events: 100, bytes: 10 })
    expect(await small.park(1)).toBe('not now')
  })

  test('say whether it is for now or for good that nothing can be parked, and keep nothing of it', async () => {
    const cluster = new Cluster()
    const one = new Gateway(cluster)
    cluster.wish = 'refused'
    expect(await one.park(1)).toBe('refused')
    cluster.wish = 'unavailable'
    expect(await one.park(1)).toBe('not now')
    cluster.wish = 'ready'
    cluster.written = () => ({ kind: 'refused', why: 'too large' })
    expect(await one.park(1)).toBe('refused')
    cluster.written = () => ({ kind: 'failed' })
    expect(await one.park(1)).toBe('not now')
    expect(one.parked.counts(KEY).events).toBe(0)
    cluster.written = null
    for (const at of [1, 2, 3, 4, 5]) expect(await one.park(at)).toBe('parked')
  })

  test('a tombstone that cannot be written leaves the entry', async () => {
    const cluster = new Cluster()
    const one = new Gateway(cluster)
    await one.park(1)
    const [{ id } = { id: '' }] = one.parked.list(KEY, '', 1)
    cluster.written = () => ({ kind: 'failed' })
    const removed = expect(one.parked.remove(KEY, [id])).rejects.toMatchObject({ code: 'store.failed' })
    await one.pass()
    await removed
    expect(one.ids).toEqual(['e1'])
  })

  test('are forgotten with their subscription, and begin anew when they are made anew', async () => {
    const cluster = new Cluster()
    const one = new Gateway(cluster)
    await one.park(1)
    await one.follow()
    cluster.log.length = 0
    cluster.id = 'two'
    await one.park(2)
    await one.follow()
    expect(one.ids).toEqual(['e2'])
    expect(one.parked.forget(GROUP)).toBe(true)
    expect([one.parked.keys(), one.ids]).toEqual([[], []])
    expect(one.parked.forget(GROUP)).toBe(false)
  })
})
