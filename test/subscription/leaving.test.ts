import { describe, expect, test } from 'vitest'
import { ACCEPT, FAIL, REJECT, Rig, SUB, eventOf } from './rig.ts'

/** Whether a promise has resolved by now, microtasks included. */
async function isDone(p: Promise<unknown>): Promise<boolean> {
  const no = Symbol('no')
  for (let i = 0; i < 5; i++) await Promise.resolve()
  return (await Promise.race([p, Promise.resolve(no)])) !== no
}

describe('a revoke', () => {
  test('hands back what waits at once, lets what runs end, then resolves; other lanes go on', async () => {
    const rig = new Rig({ credits: 2 })
    for (const id of ['a1', 'a2', 'a3']) rig.offer(id, { lane: 0 })
    rig.offer('b1', { lane: 1 })
    const revoked = rig.seat.intake.revoking([0], rig.clock.now() + 10_000)
    expect(rig.feed.hows('handed-back')).toEqual(['a3'])
    expect(await isDone(revoked)).toBe(false)
    rig.target.end('a1', ACCEPT)
    expect(rig.target.under).toEqual(['a2', 'b1'])
    rig.target.end('a2', ACCEPT)
    expect(await isDone(revoked)).toBe(true)
    expect(rig.feed.hows('delivered')).toEqual(['a1', 'a2'])
    expect(rig.state).toMatchObject({ handedBack: 1, delivered: 2, waiting: 1 })
  })

  test('what needs a retry is handed back, what is rejected still ends here', async () => {
    const rig = new Rig()
    rig.offerAll(3)
    rig.target.end('e3', FAIL)
    const revoked = rig.seat.intake.revoking([0], rig.clock.now() + 10_000)
    expect(rig.feed.hows('handed-back')).toEqual(['e3'])
    rig.target.end('e1', FAIL)
    rig.target.end('e2', REJECT)
    expect(await isDone(revoked)).toBe(true)
    expect(rig.feed.hows('handed-back')).toEqual(['e3', 'e1'])
    expect(rig.state).toMatchObject({ handedBack: 2, parked: 1, waiting: 0 })
    rig.clock.advance(60_000)
    expect(rig.target.sent).toHaveLength(3)
  })

  test('at the deadline what still runs is handed back; its outcome counts for nothing then', async () => {
    const rig = new Rig()
    rig.offer('a')
    const revoked = rig.seat.intake.revoking([0], rig.clock.now() + 10_000)
    rig.clock.advance(9_999)
    expect(await isDone(revoked)).toBe(false)
    rig.clock.advance(1)
    expect(await isDone(revoked)).toBe(true)
    expect(rig.feed.settled).toEqual([{ id: 'a', how: 'handed-back' }])
    expect(rig.state).toMatchObject({ handedBack: 1, waiting: 0, attempting: 1 })
    rig.target.end('a', ACCEPT)
    expect(rig.feed.settled).toHaveLength(1)
    expect(rig.state).toMatchObject({ handedBack: 1, delivered: 0, attempting: 0 })
  })

  test('a reply under way is finished: handing back would call the subscriber again', async () => {
    const rig = new Rig({ plan: { reply: 'r' } })
    rig.offer('a')
    rig.target.end('a', { kind: 'accepted', status: 200, reply: eventOf('reply') })
    const revoked = rig.seat.intake.revoking([0], rig.clock.now() + 10_000)
    expect(rig.feed.settled).toEqual([])
    rig.reply.end('reply', ACCEPT)
    expect(await isDone(revoked)).toBe(true)
    expect(rig.feed.hows('delivered')).toEqual(['a'])
  })

  test('what is offered while the lane leaves goes straight back; assigned again it is taken', async () => {
    const rig = new Rig()
    rig.offer('a')
    const revoked = rig.seat.intake.revoking([0], rig.clock.now() + 10_000)
    expect(rig.offer('b')).toBe(false)
    expect(rig.feed.hows('handed-back')).toEqual(['b'])
    rig.target.end('a', ACCEPT)
    await revoked
    rig.seat.intake.assigned([0])
    expect(rig.offer('c')).toBe(true)
    expect(rig.target.under).toEqual(['c'])
  })

  test('nothing in the lanes: resolves at once', async () => {
    const rig = new Rig()
    expect(await isDone(rig.seat.intake.revoking([0, 1, 2], rig.clock.now()))).toBe(true)
  })
})

describe('lanes that are lost', () => {
  test('are dropped without a word to the feed, queued and resting ones too; what runs is ignored', () => {
    const rig = new Rig({ credits: 2 })
    rig.offerAll(4)
    rig.offer('other', { lane: 1 })
    rig.target.end('e1', FAIL)
    rig.seat.intake.lost([0])
    expect(rig.feed.settled).toEqual([])
    expect(rig.target.gate.state().queuedEvents).toBe(1)
    expect(rig.target.under).toEqual(['e2', 'e3'])
    rig.target.end('e2', ACCEPT)
    rig.target.end('e3', ACCEPT)
    expect(rig.target.under).toEqual(['other'])
    rig.target.end('other', ACCEPT)
    rig.clock.advance(60_000)
    expect(rig.feed.settled).toEqual([{ id: 'other', how: 'delivered' }])
    expect(rig.state).toMatchObject({ handedBack: 4, delivered: 1, waiting: 0, attempting: 0, queued: 0 })
  })

  test('a key that was held by a lost lane goes on in the others', () => {
    const rig = new Rig({ plan: { order: 'key' } })
    rig.offer('x1', { key: 'x', lane: 0 })
    rig.offer('x2', { key: 'x', lane: 0 })
    rig.offer('x3', { key: 'x', lane: 1 })
    rig.seat.intake.lost([0])
    expect(rig.target.under).toEqual(['x1', 'x3'])
    rig.target.endAll(ACCEPT)
    expect(rig.feed.hows('delivered')).toEqual(['x3'])
    rig.offer('x4', { key: 'x', lane: 1 })
    expect(rig.target.under).toEqual(['x4'])
  })
})

describe('a subscription that is removed', () => {
  test('starts nothing more and resolves when what runs has ended', async () => {
    const rig = new Rig({ credits: 1 })
    rig.offerAll(3)
    const removed = rig.machine.remove(SUB)
    expect(rig.feed.hows('handed-back')).toEqual(['e2', 'e3'])
    expect(rig.offer('e4')).toBe(false)
    expect(rig.feed.hows('handed-back')).toEqual(['e2', 'e3', 'e4'])
    expect(await isDone(removed)).toBe(false)
    expect(rig.state).toMatchObject({ handedBack: 3, waiting: 1 })
    rig.target.end('e1', ACCEPT)
    await removed
    expect(rig.feed.hows('delivered')).toEqual(['e1'])
    const out: number[] = []
    expect(rig.seat.intake.route(eventOf('x'), out)).toBe(0)
    rig.target.gate.setOpen(false)
    rig.target.gate.setOpen(true)
    await rig.machine.remove(SUB)
  })

  test('may come back', async () => {
    const rig = new Rig()
    await rig.machine.remove(SUB)
    rig.machine.add(SUB, rig.seat, rig.spec)
    rig.offer('a')
    expect(rig.target.under).toEqual(['a'])
  })
})

describe('the end of the gateway', () => {
  test('a drain takes nothing more, waits for what runs, dead letters on their way included', async () => {
    const rig = new Rig({ credits: 2, plan: { deadLetter: 'd' } })
    rig.offerAll(4)
    rig.target.end('e1', FAIL)
    const drained = rig.machine.drain(new AbortController().signal)
    expect(rig.feed.hows('handed-back').toSorted()).toEqual(['e1', 'e4'])
    rig.target.end('e2', REJECT)
    rig.target.end('e3', ACCEPT)
    expect(await isDone(drained)).toBe(false)
    rig.deadLetter.end('e2', ACCEPT)
    expect(await isDone(drained)).toBe(true)
    expect(rig.state).toMatchObject({ handedBack: 2, delivered: 1, deadLettered: 1, waiting: 0 })
  })

  test('an abort ends the waiting: what runs is handed back', async () => {
    const rig = new Rig()
    rig.offerAll(2)
    const abort = new AbortController()
    const drained = rig.machine.drain(abort.signal)
    expect(await isDone(drained)).toBe(false)
    abort.abort()
    expect(await isDone(drained)).toBe(true)
    expect(rig.feed.hows('handed-back')).toEqual(['e1', 'e2'])
    const late = new Rig()
    late.offer('a')
    expect(await isDone(late.machine.drain(abort.signal))).toBe(true)
  })
})

describe('a parked event that is replayed', () => {
  test('walks like any other, counted as replayed, and whoever replays hears how it ended', () => {
    const rig = new Rig()
    const heard: string[] = []
    const home = {
      settle: (_d: unknown, how: string) => void heard.push(how),
      park: (_d: unknown, state: { reason: string }, done: (ok: boolean) => void) => {
        heard.push(`parked ${state.reason}`)
        done(true)
      },
      detachDelivery: () => heard.push('detached'),
    }
    rig.machine.replay(SUB, rig.delivery(eventOf('a'), { lane: -1 }), home)
    rig.target.end('a', ACCEPT)
    rig.machine.replay(SUB, rig.delivery(eventOf('b'), { lane: -1 }), home)
    rig.target.end('b', REJECT)
    expect(heard).toEqual(['delivered', 'parked rejected'])
    expect(rig.feed.settled).toEqual([])
    expect(rig.state).toMatchObject({ replayed: 2, delivered: 1, parked: 1, offered: 0 })
  })
})
