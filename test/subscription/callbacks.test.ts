import { describe, expect, test } from 'vitest'
import type { Outcome } from '../../src/contract/outcome.ts'
import { ACCEPT, FAIL, REJECT, Rig } from './rig.ts'

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
