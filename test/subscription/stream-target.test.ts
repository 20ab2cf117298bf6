import { expect, test } from 'vitest'
import { DURABLE, type Appended, type AppendOptions, type Stream } from '../../src/contract/stream.ts'
import type { CloudEvent } from '../../src/event/event.ts'
import { createStreamTarget } from '../../src/subscription/stream-target.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { Rig, SUB, eventOf } from './rig.ts'

class StreamDouble implements Pick<Stream, 'append'> {
  readonly appended: { readonly events: readonly CloudEvent[]; readonly options: AppendOptions | undefined }[] = []
  answer: Appended = DURABLE
  append(events: readonly CloudEvent[], done: (r: Appended) => void, options?: AppendOptions): void {
    this.appended.push({ events, options })
    done(this.answer)
  }
}

function setUp(plan: ConstructorParameters<typeof Rig>[0] = {}): { rig: Rig; stream: StreamDouble; close: () => void } {
  const rig = new Rig(plan)
  const stream = new StreamDouble()
  let open = true
  const target = createStreamTarget({
    id: 5,
    name: 'broker/default/b',
    clock: rig.clock,
    stream: () => (open ? (stream as unknown as Stream) : undefined),
  })
  rig.spec = { ...rig.spec, target, deadLetter: rig.spec.plan.deadLetter === null ? null : target }
  rig.machine.update(SUB, rig.spec)
  return { rig, stream, close: () => (open = false) }
}

test('durable is delivered: one pass less, one hop more', () => {
  const { rig, stream } = setUp()
  rig.offer('a', { envelope: { ttl: 9, hops: 3 } })
  expect(stream.appended[0]!.events[0]!.envelope).toMatchObject({ ttl: 8, hops: 4 })
  expect(stream.appended[0]!.options).toEqual({ reserve: false })
  expect(rig.state.delivered).toBe(1)
})

test('a full stream is no attempt: the event waits until there is room, however long', () => {
  const { rig, stream, close } = setUp()
  stream.answer = { kind: 'full', retryAfterMs: 1_000, why: 'full' }
  rig.offer('a')
  rig.clock.advance(3_600_000)
  expect(rig.state).toMatchObject({ waiting: 1, attempts: 0, parked: 0 })
  close()
  rig.clock.advance(60_000)
  expect(rig.state).toMatchObject({ waiting: 1, parked: 0 })
  const again = setUp()
  again.stream.answer = { kind: 'unavailable', retryAfterMs: 1_000, why: 'closing' }
  again.rig.offer('a')
  again.stream.answer = DURABLE
  again.rig.clock.advance(1_000)
  expect(again.rig.state).toMatchObject({ delivered: 1, attempts: 1 })
})

test('too large is final', () => {
  const { rig, stream } = setUp()
  stream.answer = { kind: 'too-large', limitBytes: 10 }
  rig.offer('a')
  expect(rig.feed.parkedOnes[0]!.state).toMatchObject({ reason: 'rejected', story: [{ status: 413 }] })
})

test('of a batch the part that was stored is settled, the rest goes again', () => {
  const { rig, stream } = setUp({ plan: { batchMax: 3, batchWaitMs: 0 } })
  rig.target.gate.setOpen(true)
  stream.answer = { kind: 'partial', durable: 0 }
  rig.offer('a')
  expect(rig.state).toMatchObject({ waiting: 1, delivered: 0 })
  stream.answer = DURABLE
  rig.clock.advance(2_000)
  expect(rig.state).toMatchObject({ waiting: 0, delivered: 1 })
})

test('an event without a pass left is dead-lettered once as a loop, then parked', () => {
  const { rig, stream } = setUp({ plan: { deadLetter: 'd' } })
  rig.offer('a', { envelope: { ttl: 1 } })
  expect(stream.appended).toHaveLength(1)
  const [letter] = stream.appended[0]!.events
  expect(letter!.envelope.ttl).toBe(0)
  expect(letter!.attribute('knativeerrorcode')).toBe(508)
  expect(stream.appended[0]!.options).toEqual({ reserve: true })
  expect(rig.state.deadLettered).toBe(1)
  rig.seat.intake.offer(rig.delivery(eventOf('b', { envelope: { ttl: 0 } })))
  expect(rig.feed.parkedOnes.map((p) => p.state.reason)).toEqual(['loop'])
})

test('says what is on its way into the stream', () => {
  const clock = new VirtualClock()
  let finish: () => void = () => {}
  const stream = { append: (_e: unknown, done: (r: Appended) => void) => void (finish = () => done(DURABLE)) }
  const rig = new Rig()
  const target = createStreamTarget({ id: 5, name: 's', clock, stream: () => stream as unknown as Stream })
  rig.machine.update(SUB, { ...rig.spec, target })
  rig.offer('a')
  expect(target.state()).toMatchObject({ inFlight: 1 })
  finish()
  expect(target.state()).toMatchObject({ inFlight: 0 })
  expect(rig.state.delivered).toBe(1)
})
