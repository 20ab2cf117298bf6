import { expect, test } from 'vitest'
import { CloudEvent } from '../../src/event/event.ts'
import { Rig } from './rig.ts'

const BIG = Buffer.alloc(1 << 20, 'x')

const sliced = (id: string, bytes: number): CloudEvent =>
  new CloudEvent({ id, source: '/s', type: 't', data: new Uint8Array(BIG.buffer, BIG.byteOffset, bytes) })

test('what is kept for more than a second gets memory of its own, the same in value', () => {
  const rig = new Rig({ credits: 1 })
  const old = sliced('old', 100)
  const most = sliced('most of it', 600_000)
  const empty = new CloudEvent({ id: 'none', source: '/s', type: 't' })
  for (const event of [old, most, empty]) rig.seat.intake.offer(rig.delivery(event))
  rig.clock.advance(1_500)
  const young = sliced('young', 100)
  rig.seat.intake.offer(rig.delivery(young))
  rig.clock.advance(500)
  expect(old.data!.buffer.byteLength).toBe(100)
  expect(Buffer.from(old.data!).toString()).toBe('x'.repeat(100))
  expect(most.data!.buffer).toBe(BIG.buffer)
  expect(empty.data).toBe(null)
  expect(young.data!.buffer).toBe(BIG.buffer)
  rig.clock.advance(1_000)
  expect(young.data!.buffer.byteLength).toBe(100)
})
