import { describe, expect, test } from 'vitest'
import { Lapsed } from '../../../src/sources/queue/consumer.ts'
import { Answers } from '../../../src/streams/nats/answers.ts'
import { type JetStreamMessage, stateLine } from '../../../src/streams/nats/message.ts'
import { PullConsumer } from '../../../src/streams/nats/pull.ts'
import { VirtualClock } from '../../simulation/virtual-clock.ts'
import { LinkDouble, type Published } from './double.ts'

const EVENT = 'ce-specversion: 1.0\r\nce-id: e1\r\nce-source: /s\r\nce-type: t\r\n'

function rig(due = false) {
  const link = new LinkDouble()
  const clock = new VirtualClock()
  const place = {
    ready: true,
    name: 'C',
    stream: { name: 'S' },
    generation: 1,
    ackWaitMs: 30_000,
    maxDeliver: 0,
    doubts: 0,
    looks: 0,
    stopped: false,
    doubt: () => void place.doubts++,
    look: () => {
      place.looks++
      return Promise.resolve()
    },
    stop: () => void (place.stopped = true),
  }
  const answers = new Answers(link, clock)
  const pull = new PullConsumer({ link, clock, place: place as never, answers, due, tail: 'c1' })
  const taken: JetStreamMessage[] = []
  const sink = {
    room: 10,
    lost: [] as boolean[],
  }
  pull.start({ room: () => sink.room, taken: (list) => taken.push(...list), lost: (forgotten) => sink.lost.push(forgotten) })
  let nth = 0
  return {
    link,
    clock,
    place,
    pull,
    taken,
    sink,
    /** Pulls that were sent since the last time: how many each asked for. */
    pulls: () => link.taken().filter((p) => p.subject === '$JS.API.CONSUMER.MSG.NEXT.S.C'),
    async bring(inbox: string, o: { head?: string; text?: string; deliveries?: number } = {}) {
      const sequence = ++nth
      const reply = `$JS.ACK.S.C.${o.deliveries ?? 1}.${sequence}.${sequence}.1795279233717422962.0`
      link.bring(inbox, { reply, head: o.head ?? EVENT, text: o.text ?? 'x' })
      await Promise.resolve()
    },
  }
}

const batch = (p: Published | undefined): number => (JSON.parse(p?.data ?? '{}') as { batch?: number }).batch ?? 0

describe('pulling', () => {
  test('asks for the room there is, and for more when half of it is free again', async () => {
    const r = rig()
    const [first] = r.pulls()
    expect(batch(first)).toBe(10)
    for (let i = 0; i < 4; i++) await r.bring(first!.reply)
    expect(r.taken).toHaveLength(4)
    expect(r.taken[0]).toMatchObject({ id: '1', redelivery: 0, leaseUntilMs: 30_000, undecodable: null })
    expect(r.taken[0]!.event?.id).toBe('e1')
    expect(r.pulls()).toEqual([])
    await r.bring(first!.reply)
    expect(r.pulls().map(batch)).toEqual([5])
    // What it holds has no room any more: nothing is asked for beyond what may still come.
    r.sink.room = 3
    for (let i = 0; i < 5; i++) await r.bring(first!.reply)
    expect(r.pulls()).toEqual([])
  })

  test('of a pull that ended before it was full asks for the rest', async () => {
    const r = rig()
    const [first] = r.pulls()
    await r.bring(first!.reply)
    r.link.bring(first!.reply, { code: 100 })
    await Promise.resolve()
    expect(r.pulls()).toEqual([])
    r.link.bring(first!.reply, { code: 408 })
    await Promise.resolve()
    expect(r.pulls().map(batch)).toEqual([10])
  })

  test('a consumer that is deleted, or silent, is looked after, and its old pulls bring nothing more', async () => {
    const r = rig()
    const [first] = r.pulls()
    r.link.bring(first!.reply, { code: 409, description: 'Consumer Deleted' })
    expect(r.place.doubts).toBe(1)
    r.pull.pump()
    const [second] = r.pulls()
    expect(second!.reply).not.toBe(first!.reply)
    await r.bring(first!.reply)
    expect(r.taken).toEqual([])
    r.clock.advance(40_000)
    expect(r.place.doubts).toBe(2)
  })

  test('waits for the connection and for the place', () => {
    const r = rig()
    r.link.taken()
    r.link.up = false
    r.pull.lost()
    expect(r.sink.lost).toEqual([false])
    r.pull.pump()
    r.link.up = true
    r.place.ready = false
    r.pull.pump()
    expect(r.link.taken()).toEqual([])
    r.place.ready = true
    r.pull.pump()
    expect(r.pulls().map(batch)).toEqual([10])
  })

  test('bytes that are no event are handed over as they came', async () => {
    const r = rig()
    const [first] = r.pulls()
    await r.bring(first!.reply, { head: 'Nats-Msg-Id: m1\r\n', text: 'hello' })
    expect(r.taken[0]).toMatchObject({ event: null, undecodable: { headers: [['Nats-Msg-Id', 'm1']] } })
    expect(Buffer.from(r.taken[0]!.undecodable!.raw).toString()).toBe('hello')
  })
})

describe('answering', () => {
  test('a batch is acknowledged each, and known when the last is confirmed', async () => {
    const r = rig()
    const [first] = r.pulls()
    for (let i = 0; i < 3; i++) await r.bring(first!.reply)
    let known: unknown = 'not yet'
    r.pull.acknowledge(r.taken, (answers) => (known = answers))
    const acks = r.link.taken()
    expect(acks.map((p) => [p.subject, p.data, p.reply !== ''])).toEqual(r.taken.map((m, i) => [m.reply, '+ACK', i === 2]))
    expect(known).toBe('not yet')
    expect(r.pull.out).toBe(3)
    r.link.answer(acks[2]!.reply, '')
    expect(known).toBeNull()
    expect(r.pull.out).toBe(0)
  })

  test('what nobody confirms, or a connection that is gone, is told, and can be tried again', async () => {
    const r = rig()
    const [first] = r.pulls()
    await r.bring(first!.reply)
    const told: unknown[] = []
    const tell = (answers: readonly (Error | null)[] | null): void => void told.push(answers?.[0]?.message ?? null)
    r.pull.acknowledge(r.taken, tell)
    r.clock.advance(7_000)
    expect(told).toEqual([expect.stringContaining('did not answer')])
    r.link.up = false
    r.pull.acknowledge(r.taken, tell)
    r.clock.settle()
    expect(told).toHaveLength(2)
    expect(r.pull.out).toBe(1)
    await expect(r.pull.extend(r.taken[0]!)).rejects.not.toBeInstanceOf(Lapsed)
  })

  test('a consumer that was made anew hears nothing of what the one before delivered', async () => {
    const r = rig()
    const [first] = r.pulls()
    await r.bring(first!.reply)
    r.pull.cut()
    r.place.generation = 2
    r.link.taken()
    let known: unknown = 'not yet'
    r.pull.acknowledge(r.taken, (answers) => (known = answers))
    r.clock.settle()
    r.pull.release(r.taken[0]!, 0)
    await expect(r.pull.extend(r.taken[0]!)).rejects.toBeInstanceOf(Lapsed)
    expect(known).toBeNull()
    expect(r.link.taken()).toEqual([])
  })

  test('a lease is renewed from now on', async () => {
    const r = rig()
    const [first] = r.pulls()
    await r.bring(first!.reply)
    r.clock.advance(9_000)
    r.link.taken()
    expect(await r.pull.extend(r.taken[0]!)).toBe(39_000)
    expect(r.link.taken()).toMatchObject([{ subject: r.taken[0]!.reply, data: '+WPI' }])
  })

  test('what is given back comes again after a moment; of a gateway that leaves at once, and not to itself', async () => {
    const r = rig()
    const [first] = r.pulls()
    for (let i = 0; i < 2; i++) await r.bring(first!.reply)
    r.pull.release(r.taken[0]!, 0)
    expect(r.link.taken()).toMatchObject([{ data: '-NAK {"delay": 500000000}' }])
    const signal = new AbortController().signal
    await Promise.all([r.pull.quiesce(signal), r.pull.quiesce(signal)])
    // The server has pruned the pulls of the inbox that is gone.
    expect(r.place.looks).toBe(1)
    r.pull.release(r.taken[1]!, 0)
    r.pull.pump()
    expect(r.link.taken()).toMatchObject([{ data: '-NAK' }])
    await r.pull.close(signal)
    expect(r.place.stopped).toBe(true)
  })
})

describe('what waited', () => {
  const state = (dueMs: number): string => EVENT + stateLine({ dueMs, story: [], phase: 'dead-letter', reason: '' })

  test('goes back for the time that is left, and is handed over with its state when it is due', async () => {
    const r = rig(true)
    const [first] = r.pulls()
    const dueMs = r.clock.wall() + 20_000
    await r.bring(first!.reply, { head: state(dueMs) })
    expect(r.taken).toEqual([])
    expect(r.link.taken()).toMatchObject([{ data: `-NAK {"delay": ${20_000 * 1e6}}` }])
    r.clock.advance(20_000)
    await r.bring(first!.reply, { head: state(dueMs), deliveries: 9 })
    expect(r.taken).toHaveLength(1)
    // Going to and fro is not its fault.
    expect(r.taken[0]).toMatchObject({ redelivery: 1, state: { dueMs, phase: 'dead-letter' } })
  })

  test('a message of the stream itself is not believed to have a state', async () => {
    const r = rig()
    const [first] = r.pulls()
    await r.bring(first!.reply, { head: state(r.clock.wall() + 60_000) })
    expect(r.taken[0]).toMatchObject({ state: null })
  })
})
