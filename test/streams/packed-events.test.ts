import { describe, expect, test } from 'vitest'
import { CloudEvent } from '../../src/event/event.ts'
import { BLOCK_EVENTS } from '../../src/streams/blocks.ts'
import { PackedEvents } from '../../src/streams/packed-events.ts'

const eventOf = (n: number, bytes = 3): CloudEvent =>
  new CloudEvent({ id: `e${n}`, source: '/s', type: 't', data: Buffer.alloc(bytes, n) })

function packed(first: number, count: number, bytes?: number): PackedEvents {
  const p = new PackedEvents(first)
  for (let i = 0; i < count; i++) p.push(eventOf(first + i, bytes))
  return p
}

describe('events as bytes in memory', () => {
  test.each([
    ['within a block that is being filled', 10, 3],
    ['over blocks that are full of events', 2 * BLOCK_EVENTS + 7, 3],
    ['over blocks that are full of bytes', 100, 5_000],
    ['each larger than a block', 5, 100_000],
  ])('every position gives its event, %s', (_, count, bytes) => {
    const p = packed(7, count, bytes)
    for (let n = 7; n < 7 + count; n++) expect(p.get(n)).toEqual(eventOf(n, bytes))
    expect(p.get(6)).toBeUndefined()
    expect(p.get(7 + count)).toBeUndefined()
  })

  test('what lies below is forgotten block by block, and nothing else', () => {
    const count = 3 * BLOCK_EVENTS + 5
    const p = packed(1, count)
    p.dropBelow(BLOCK_EVENTS)
    expect(p.get(1)).toEqual(eventOf(1))
    p.dropBelow(BLOCK_EVENTS + 1)
    expect(p.get(BLOCK_EVENTS)).toBeUndefined()
    for (const n of [BLOCK_EVENTS + 1, 3 * BLOCK_EVENTS, count]) expect(p.get(n)).toEqual(eventOf(n))
    p.dropBelow(count + 1)
    for (const n of [2 * BLOCK_EVENTS, count]) expect(p.get(n)).toBeUndefined()
    p.push(eventOf(count + 1))
    expect(p.get(count + 1)).toEqual(eventOf(count + 1))
    expect(p.get(count)).toBeUndefined()
  })

  test('nothing of an event that is still held changes when its block is closed or dropped', () => {
    const p = packed(1, 3)
    const held = p.get(2) as CloudEvent
    for (let n = 4; n < 2 * BLOCK_EVENTS; n++) p.push(eventOf(n))
    const again = p.get(3) as CloudEvent
    p.dropBelow(2 * BLOCK_EVENTS)
    expect(held).toEqual(eventOf(2))
    expect(again).toEqual(eventOf(3))
  })
})
