import { describe, expect, test } from 'vitest'
import type { Lease, LeaseStore } from '../../src/contract/leases.ts'
import type { Outcome } from '../../src/contract/outcome.ts'
import type { SubscriptionPlan } from '../../src/contract/plan.ts'
import { ACCEPT, eventOf, FAIL, REJECT, Rig } from './rig.ts'

const LATER: Outcome = { kind: 'accepted', status: 202 }

function setUp(): Rig {
  let serial = 0
  const machine = { newToken: () => `token-${++serial}`, callbackUrl: (t: string) => `http://gateway/callback/${t}` }
  return new Rig({ plan: { ack: 'callback' }, machine, credits: 1 })
}

describe('acknowledgement by callback', () => {
  test('the subscriber learns where to call; 202 keeps credit and delivery until it does', () => {
    const rig = setUp()
    rig.offerAll(2)
    expect(rig.target.sent[0]!.headers).toEqual(['sluice-callback', 'http://gateway/callback/token-1'])
    rig.target.end('e1', LATER)
    expect(rig.target.gate.state().inFlight).toBe(1)
    expect(rig.state).toMatchObject({ delivered: 0, attempting: 1 })
    rig.clock.advance(20_000)
    expect(rig.machine.complete('token-1', ACCEPT)).toBe(true)
    expect(rig.feed.hows('delivered')).toEqual(['e1'])
    expect(rig.target.under).toEqual(['e2'])
    expect(rig.target.gate.counters().serviceMs).toBe(20_000)
    expect(rig.machine.complete('token-1', ACCEPT)).toBe(false)
    expect(rig.machine.complete('nonsense', ACCEPT)).toBe(false)
  })

  test('it may call back with a failure, or before its 202 has arrived', () => {
    const rig = setUp()
    rig.offer('a')
    rig.target.end('a', LATER)
    rig.machine.complete('token-1', FAIL)
    rig.clock.advance(1_000)
    expect(rig.target.sent[1]!.headers[1]).toBe('http://gateway/callback/token-2')
    expect(rig.machine.complete('token-2', REJECT)).toBe(true)
    expect(rig.state.parked).toBe(0)
    rig.target.end('a', LATER)
    expect(rig.state).toMatchObject({ parked: 1, waiting: 0 })
    expect(rig.target.gate.state().inFlight).toBe(0)
  })

  test('any other answer counts at once', () => {
    const rig = setUp()
    rig.offer('a')
    rig.target.end('a', ACCEPT)
    expect(rig.state).toMatchObject({ delivered: 1 })
    expect(rig.machine.complete('token-1', REJECT)).toBe(false)
  })

  test('without a callback it is retried when the lease is over; a lease can be renewed', () => {
    const rig = setUp()
    rig.offer('a')
    rig.target.end('a', { kind: 'pending', leaseMs: 10_000 })
    rig.clock.advance(9_000)
    expect(rig.machine.extendLease('token-1')).toBe(true)
    rig.clock.advance(9_999)
    expect(rig.target.gate.state().inFlight).toBe(1)
    rig.clock.advance(1)
    expect(rig.target.gate.state().inFlight).toBe(0)
    expect(rig.machine.complete('token-1', ACCEPT)).toBe(false)
    expect(rig.machine.extendLease('token-1')).toBe(false)
    rig.clock.advance(1_000)
    expect(rig.target.sent).toHaveLength(2)
  })

  test('a pod that is gone cannot call back: retried elsewhere', () => {
    const rig = setUp()
    rig.offer('a')
    rig.target.end('a', LATER)
    rig.target.gate.gone('http://subscriber-pod')
    rig.target.gate.add('other', { protocol: 'http:', host: 'h', port: 1, caCerts: '' }, 1)
    rig.clock.advance(1_000)
    expect(rig.target.sent).toHaveLength(2)
    expect(rig.machine.complete('token-1', ACCEPT)).toBe(false)
  })

  test('where nobody asked for callbacks a pending answer is refused as what it is', () => {
    const rig = new Rig()
    rig.offer('a')
    rig.target.end('a', { kind: 'pending', leaseMs: 10_000 })
    expect(rig.feed.parkedOnes[0]!.state.reason).toBe('rejected')
  })
})

/** Keeps leases as a file would. */
class LeasesDouble implements LeaseStore {
  readonly open = new Map<string, Lease>()
  readonly ended: string[] = []
  of(): readonly Lease[] {
    return [...this.open.values()]
  }
  save(lease: Lease): void {
    this.open.set(lease.token, lease)
  }
  end(token: string, answered: boolean): void {
    this.open.delete(token)
    this.ended.push(`${token} ${answered ? 'answered' : 'over'}`)
  }
}

describe('a lease over a restart', () => {
  const life = (leases: LeasesDouble, plan: Partial<SubscriptionPlan> = {}, credits = 1): Rig => {
    let serial = leases.open.size
    return new Rig({ plan: { ack: 'callback', ...plan }, credits, machine: { leases, newToken: () => `token-${++serial}` } })
  }
  const pendingOf = (leases: LeasesDouble, ids: readonly string[], plan: Partial<SubscriptionPlan> = {}): void => {
    const first = life(leases, plan, 10)
    for (const id of ids) first.offer(id)
    first.clock.advance(100)
    first.target.endAll(LATER)
  }

  test('its credit is taken before anything is attempted, its event is not sent again, the callback settles it', () => {
    const leases = new LeasesDouble()
    pendingOf(leases, ['a'])
    const rig = life(leases)
    expect(rig.target.gate.state().inFlight).toBe(1)
    rig.offer('a')
    rig.offer('b')
    expect(rig.target.sent).toEqual([])
    expect(rig.state).toMatchObject({ attempting: 1, waiting: 2 })
    expect(rig.machine.complete('token-1', ACCEPT)).toBe(true)
    expect(rig.feed.hows('delivered')).toEqual(['a'])
    expect(rig.target.under).toEqual(['b'])
    expect(leases.ended).toEqual(['token-1 answered'])
  })

  test('the callback may come before the event is offered again', () => {
    const leases = new LeasesDouble()
    pendingOf(leases, ['a', 'b'])
    const rig = life(leases, {}, 2)
    expect(rig.machine.complete('token-1', ACCEPT)).toBe(true)
    expect(rig.machine.complete('token-2', FAIL)).toBe(true)
    rig.offer('a')
    rig.offer('b')
    expect(rig.feed.hows('delivered')).toEqual(['a'])
    expect(rig.target.under).toEqual(['b'])
    expect(rig.state).toMatchObject({ attempting: 1, waiting: 1 })
  })

  test('of a system without lasting positions is known again by its event', () => {
    const leases = new LeasesDouble()
    pendingOf(leases, ['a'])
    const rig = life(leases)
    const leased = (id: string, position: number) => ({ ...rig.delivery(eventOf(id)), position, leaseUntilMs: 1_000 })
    rig.seat.intake.offer(leased('b', 900))
    rig.seat.intake.offer(leased('a', 901))
    rig.clock.settle()
    expect(rig.target.sent).toEqual([])
    expect(rig.machine.complete('token-1', ACCEPT)).toBe(true)
    expect(rig.feed.hows('delivered')).toEqual(['a'])
    expect(rig.target.under).toEqual(['b'])
  })

  test('it runs out when it would have, and then the event is an attempt further', () => {
    const leases = new LeasesDouble()
    pendingOf(leases, ['a'])
    const rig = life(leases)
    rig.offer('a')
    rig.clock.advance(30_099)
    expect(rig.target.sent).toEqual([])
    rig.clock.advance(1)
    expect(leases.ended).toEqual(['token-1 over'])
    rig.clock.advance(1_000)
    expect(rig.target.sent[0]).toMatchObject({ attempt: 2 })
  })

  test('where its pod is gone the event goes to another at once', () => {
    const leases = new LeasesDouble()
    pendingOf(leases, ['a'])
    const [lease] = leases.of()
    leases.save({ ...lease!, pod: 'a pod of before' })
    const rig = life(leases)
    rig.offer('a')
    expect(rig.target.under).toEqual(['a'])
    expect(rig.machine.complete('token-1', ACCEPT)).toBe(false)
  })

  test('an ordered lane waits for it', () => {
    const leases = new LeasesDouble()
    pendingOf(leases, ['a'], { order: 'ordered' })
    const rig = life(leases, { order: 'ordered' }, 5)
    rig.offer('a')
    rig.offer('b')
    expect(rig.target.sent).toEqual([])
    rig.machine.complete('token-1', REJECT)
    expect(rig.state.parked).toBe(1)
    expect(rig.target.under).toEqual(['b'])
  })

  test('the events of a batch come back one by one and end together', () => {
    const leases = new LeasesDouble()
    pendingOf(leases, ['a', 'b', 'c'], { batchMax: 3, batchWaitMs: 50 })
    const rig = life(leases, { batchMax: 3, batchWaitMs: 50 })
    rig.offer('a')
    rig.offer('b')
    rig.machine.complete('token-1', { kind: 'accepted', status: 200, failed: [{ source: '/test', id: 'b', retryable: false }] })
    rig.offer('c')
    expect(rig.feed.hows('delivered')).toEqual(['a', 'c'])
    expect(rig.state).toMatchObject({ parked: 1, waiting: 0, attempting: 0 })
    expect(rig.target.gate.state().inFlight).toBe(0)
  })

  test('a stop does not wait for callbacks: what is pending is handed back and its lease kept', async () => {
    const leases = new LeasesDouble()
    const rig = life(leases, { limits: { maxConcurrency: 2, ratePerS: 0 } }, 2)
    rig.offerAll(3)
    rig.target.end('e1', LATER)
    const drained = rig.machine.drain(new AbortController().signal)
    rig.target.end('e2', ACCEPT)
    await drained
    expect(rig.feed.settled.map((s) => `${s.id} ${s.how}`).toSorted()).toEqual([
      'e1 handed-back',
      'e2 delivered',
      'e3 handed-back',
    ])
    expect(leases.of().map((l) => l.token)).toEqual(['token-1'])
    expect(rig.state).toMatchObject({ waiting: 0, attempting: 0 })
    // The pod works on: its credit is nobody else's before the lease is over.
    expect(rig.target.gate.state().inFlight).toBe(1)
    expect(leases.ended).toEqual(['token-2 over'])
    rig.clock.advance(30_000)
    expect(rig.target.gate.state().inFlight).toBe(0)
    expect(leases.ended).toEqual(['token-2 over', 'token-1 over'])
  })

  test('a subscription that goes and comes back finds it again', async () => {
    const leases = new LeasesDouble()
    const rig = life(leases, { limits: { maxConcurrency: 1, ratePerS: 0 } })
    rig.offer('a')
    rig.target.end('a', LATER)
    await rig.machine.remove(7)
    expect(rig.machine.complete('token-1', ACCEPT)).toBe(false)
    expect(rig.machine.extendLease('token-1')).toBe(false)
    expect(rig.target.gate.state().inFlight).toBe(1)
    rig.machine.add(7, rig.seat, rig.spec)
    expect(rig.target.gate.state().inFlight).toBe(1)
    rig.seat.intake.offer({ ...rig.target.sent[0]!.delivery })
    expect(rig.target.sent).toHaveLength(1)
    expect(rig.machine.complete('token-1', ACCEPT)).toBe(true)
    expect(rig.feed.hows('delivered')).toEqual(['a'])
    expect(rig.target.gate.state().inFlight).toBe(0)
  })

  test('it can be made longer, up to a day, also before the 202 has come', () => {
    const leases = new LeasesDouble()
    const rig = life(leases, {}, 5)
    rig.offer('a')
    expect(rig.machine.extendLease('token-1', 90_000)).toBe(true)
    rig.target.end('a', LATER)
    expect(leases.of()[0]).toMatchObject({ leaseMs: 90_000, sub: 'trigger/default/t', members: [{ id: 'a', attempt: 1 }] })
    rig.machine.extendLease('token-1', 1e12)
    expect(leases.of()[0]!.leaseMs).toBe(86_400_000)
  })
})
