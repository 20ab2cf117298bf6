import { describe, expect, test } from 'vitest'
import { SILENT_LOG } from '../../../../src/runtime/log.ts'
import { MemoryKv } from '../../../../src/store/memory-kv.ts'
import { type ParkedChange, ParkedIndex } from '../../../../src/streams/kafka/kept/parked-index.ts'
import { parkedKey, type ParkedRecord } from '../../../../src/streams/kafka/kept/record.ts'
import { VirtualClock } from '../../../simulation/virtual-clock.ts'
import { FaultyKv } from '../../../store/faulty-kv.ts'
import { event } from '../../rig.ts'

const clock = new VirtualClock()

function parked(at: number): ParkedRecord {
  return {
    event: event(`e${at}`),
    undecodable: null,
    state: { dueMs: 0, story: [], phase: 'subscriber', reason: 'exhausted' },
    origin: { topic: 't', partition: 0, offset: at, redelivery: 0 },
    subscription: 'trigger/a/x',
    parkedMs: 5,
  }
}

function put(offset: number, at: number): ParkedChange {
  return { offset, key: parkedKey(parked(at).origin), value: parked(at) }
}
function gone(offset: number, at: number): ParkedChange {
  return { offset, key: parkedKey(parked(at).origin), value: null }
}

async function taken(work: Promise<unknown>): Promise<void> {
  let over = false
  void work.then(() => (over = true))
  for (let i = 0; i < 100 && !over; i++) {
    clock.advance(1)
    await Promise.resolve()
  }
  expect(over).toBe(true)
}

function begin() {
  const index = new ParkedIndex(() => new MemoryKv(clock), SILENT_LOG)
  const line = index.line()
  const ids = (): (string | undefined)[] => index.list(line, '', 100).map((e) => e.event?.id)
  return { index, line, ids }
}

describe('the copy of what is parked', () => {
  test('is in the order of the topic, page by page, and counts what it holds', async () => {
    const { index, line, ids } = begin()
    await taken(index.apply(line, [put(3, 30), put(5, 50), put(9, 90)]))
    expect(ids()).toEqual(['e30', 'e50', 'e90'])
    const [first] = index.list(line, '', 1)
    expect(index.list(line, first!.id, 10).map((e) => e.event?.id)).toEqual(['e50', 'e90'])
    expect(index.get(line, first!.id)).toMatchObject({ id: first!.id, parkedMs: 5, state: { reason: 'exhausted' } })
    expect(line.events).toBe(3)
    expect(line.bytes).toBe(index.list(line, '', 9).reduce((sum, e) => sum + e.bytes, 0))
  })

  test('has one entry for what was parked twice, whichever way it hears of it', async () => {
    const { index, line, ids } = begin()
    await taken(index.apply(line, [put(3, 30), put(4, 40), put(7, 30)]))
    await taken(index.apply(line, [put(3, 30)]))
    expect(ids()).toEqual(['e40', 'e30'])
    await taken(Promise.all([put(8, 50), put(9, 50), gone(10, 40), put(11, 60), gone(12, 60)].map((c) => index.apply(line, [c]))))
    expect(ids()).toEqual(['e30', 'e50'])
    expect(line.events).toBe(2)
    expect(line.bytes).toBe(index.list(line, '', 9).reduce((sum, e) => sum + e.bytes, 0))
  })

  test('loses what the topic says is gone, and nothing else', async () => {
    const { index, line, ids } = begin()
    await taken(index.apply(line, [put(3, 30), put(4, 40)]))
    await taken(index.apply(line, [gone(5, 30), gone(6, 99)]))
    expect(ids()).toEqual(['e40'])
    await taken(index.apply(line, [gone(7, 40)]))
    expect(line).toMatchObject({ events: 0, bytes: 0 })
    await taken(index.apply(line, [put(8, 40)]))
    expect(ids()).toEqual(['e40'])
  })

  test('keeps subscriptions apart, and knows no foreign ids', async () => {
    const { index, line } = begin()
    const other = index.line()
    await taken(Promise.all([index.apply(line, [put(1, 1)]), index.apply(other, [put(1, 1), put(2, 2)])]))
    expect(index.list(line, '', 9)).toHaveLength(1)
    expect(index.list(other, '', 9)).toHaveLength(2)
    for (const id of ['', 'no such id', '0000000000001', 'p1']) expect(index.get(line, id)).toBeUndefined()
    const [entry] = index.list(line, '', 1)
    expect(index.keyOf(line, entry!.id)).toBe('t/0/1')
  })

  test('opens no store before there is something', async () => {
    let opened = 0
    const index = new ParkedIndex(() => {
      opened++
      return new MemoryKv(clock)
    }, SILENT_LOG)
    const line = index.line()
    await index.apply(line, [])
    expect(index.list(line, '', 9)).toEqual([])
    expect(opened).toBe(0)
    await taken(index.apply(line, [put(1, 1)]))
    expect(opened).toBe(1)
  })

  test('a disk that fails shows less and holds nobody up', async () => {
    const kv = new FaultyKv(clock)
    kv.fate = () => ({ error: new Error('disk'), visible: false })
    const index = new ParkedIndex(() => kv, SILENT_LOG)
    const line = index.line()
    await taken(index.apply(line, [put(1, 1)]))
    expect(line.events).toBe(0)
  })
})
