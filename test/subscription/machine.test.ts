import { describe, expect, test } from 'vitest'
import { Secret } from '../../src/runtime/secret.ts'
import { ACCEPT, FAIL, REJECT, Rig, SUB, eventOf } from './rig.ts'

const HANGS = { kind: 'retryable', status: 0, why: 'timed out after 30000 ms' } as const

describe('an event that is taken', () => {
  test('walks from offer to delivered, one arrow after the other', () => {
    const rig = new Rig()
    rig.offer('a')
    expect(rig.state).toMatchObject({ offered: 1, waiting: 1, attempting: 1, delivered: 0 })
    rig.target.end('a', ACCEPT)
    expect(rig.feed.settled).toEqual([{ id: 'a', how: 'delivered' }])
    expect(rig.story).toEqual(['matched a', 'waiting a', 'attempt 1 accepted a', 'delivered a'])
    expect(rig.state).toMatchObject({ offered: 1, waiting: 0, delivered: 1, attempts: 1, retries: 0 })
  })

  test('is attempted with what the plan says: deadline from the credit, namespace, format, secrets', () => {
    const plan = { namespace: 'shop', headers: [['authorization', new Secret('Bearer x')]] as const }
    const rig = new Rig({ plan: { ...plan, reply: 'r' }, credits: -1 })
    rig.offer('a')
    rig.clock.advance(5_000)
    expect(rig.target.sent).toHaveLength(0)
    rig.target.gate.add('pod', { protocol: 'http:', host: 'h', port: 1, caCerts: '' }, 1)
    const [attempt] = rig.target.sent
    expect(attempt).toMatchObject({
      attempt: 1,
      deadlineMs: 35_000,
      namespace: 'shop',
      wantsReply: true,
      structured: false,
      headers: ['authorization', 'Bearer x'],
      leg: 'subscriber',
    })
  })

  test('an attempt with two outcomes is a bug that is caught', () => {
    const rig = new Rig()
    rig.offer('a')
    const [attempt] = rig.target.sent
    rig.target.end('a', ACCEPT)
    expect(() => attempt!.done(ACCEPT)).toThrow('one outcome')
  })
})

describe('retries', () => {
  test('wait in memory up to 5 s and go again until they are used up, then the event is parked with its story', () => {
    const rig = new Rig()
    rig.offer('a')
    const sentAtMs: number[] = []
    rig.target.answer = () => (sentAtMs.push(rig.clock.now()), null)
    const fail = (): void => {
      rig.clock.advance(100)
      rig.target.end('a', FAIL)
    }
    fail()
    for (let retry = 1; retry <= 3; retry++) {
      rig.clock.advance(retry * 1_000)
      fail()
    }
    expect(sentAtMs).toEqual([1_100, 3_200, 6_300])
    expect(rig.target.sent.map((s) => s.attempt)).toEqual([1, 2, 3, 4])
    expect(rig.feed.parkedOnes).toHaveLength(1)
    const { state } = rig.feed.parkedOnes[0]!
    expect(state).toMatchObject({ dueMs: 0, phase: 'subscriber', reason: 'exhausted' })
    expect(state.story.map((s) => [s.attempt, s.to, s.status, s.tookMs, s.error])).toEqual(
      [1, 2, 3, 4].map((n) => [n, 'http://subscriber', 503, 100, 'answered 503']),
    )
    expect(state.story[1]!.atMs - state.story[0]!.atMs).toBe(1_100)
    expect(rig.state).toMatchObject({ parked: 1, waiting: 0, attempts: 4, retries: 3 })
    expect(rig.feed.settled).toEqual([])
  })

  test('a wait over 5 s is left to the feed, with attempts and due time, and goes on where it stood', () => {
    const rig = new Rig({ plan: { delivery: { ...new Rig().spec.plan.delivery, backoffDelayMs: 6_000 } } })
    rig.offer('a')
    rig.target.end('a', FAIL)
    const [kept] = rig.feed.detached
    expect(kept!.state).toMatchObject({ dueMs: rig.clock.wall() + 6_000, phase: 'subscriber', reason: '' })
    expect(rig.state).toMatchObject({ waiting: 1, detached: 1, attempting: 0 })
    rig.seat.intake.offer(rig.delivery(eventOf('a'), { story: kept!.state.story, redelivery: 1 }))
    expect(rig.target.sent.at(-1)!.attempt).toBe(2)
    expect(rig.state).toMatchObject({ offered: 1, restored: 0, waiting: 1, detached: 0 })
    rig.target.end('a', ACCEPT)
    expect(rig.state).toMatchObject({ delivered: 1, waiting: 0 })
    expect(rig.story).toContain('restored a')
  })

  test('one that an earlier process detached counts as restored', () => {
    const rig = new Rig()
    const story = [{ attempt: 2, atMs: 1, tookMs: 1, to: 'http://subscriber', status: 503, error: 'x' }]
    rig.seat.intake.offer(rig.delivery(eventOf('old'), { story }))
    expect(rig.target.sent[0]!.attempt).toBe(3)
    expect(rig.state).toMatchObject({ restored: 1, offered: 0, waiting: 1 })
  })

  test('what the feed cannot keep waits in memory as long as it has to', () => {
    const rig = new Rig({ plan: { delivery: { ...new Rig().spec.plan.delivery, backoffDelayMs: 6_000 } } })
    rig.feed.canDetach = false
    rig.offer('a')
    rig.target.end('a', FAIL)
    rig.clock.advance(5_999)
    expect(rig.target.sent).toHaveLength(1)
    rig.clock.advance(1)
    expect(rig.target.sent).toHaveLength(2)
  })

  test('Retry-After is waited for when the plan looks at it', () => {
    const delivery = { ...new Rig().spec.plan.delivery, retryAfterMaxMs: 4_000 }
    const rig = new Rig({ plan: { delivery } })
    rig.offer('a')
    rig.target.end('a', { ...FAIL, retryAfterMs: 60_000 } as never)
    rig.clock.advance(3_999)
    expect(rig.target.sent).toHaveLength(1)
    rig.clock.advance(1)
    expect(rig.target.sent).toHaveLength(2)
  })

  test('a due retry goes before what came later', () => {
    const rig = new Rig({ credits: 1 })
    rig.offer('a')
    rig.target.end('a', FAIL)
    for (const id of ['b', 'c', 'd']) rig.offer(id)
    rig.clock.advance(1_000)
    rig.target.end('b', ACCEPT)
    expect(rig.target.under).toEqual(['a'])
  })

  test('no retry configured: one attempt', () => {
    const rig = new Rig({ plan: { delivery: { ...new Rig().spec.plan.delivery, retry: 0 } } })
    rig.offer('a')
    rig.target.end('a', FAIL)
    expect(rig.state).toMatchObject({ parked: 1, attempts: 1 })
  })

  test('a refusal that is no attempt (a full stream) waits and goes again for as long as it takes', () => {
    const rig = new Rig()
    rig.offer('a')
    for (let i = 0; i < 50; i++) {
      rig.target.end('a', { kind: 'retryable', status: 429, why: 'full', unattempted: true })
      rig.clock.advance(5_000)
    }
    expect(rig.target.sent.at(-1)!.attempt).toBe(1)
    rig.target.end('a', ACCEPT)
    expect(rig.state).toMatchObject({ delivered: 1, attempts: 1, parked: 0 })
  })
})

describe('time-outs', () => {
  test('a late 2xx settles the delivery while its retry waits', () => {
    const rig = new Rig()
    rig.offer('a')
    const { attempt, credit } = rig.target.open_[0]!
    credit.abandon()
    attempt.done(HANGS)
    expect(rig.target.gate.state()).toMatchObject({ inFlight: 1, abandoned: 1 })
    rig.clock.advance(500)
    attempt.late!(ACCEPT)
    expect(rig.feed.hows('delivered')).toEqual(['a'])
    rig.clock.advance(60_000)
    expect(rig.target.sent).toHaveLength(1)
    expect(rig.state).toMatchObject({ delivered: 1, waiting: 0 })
  })

  test('also while it stands in the queue for its retry', () => {
    const rig = new Rig({ credits: 1 })
    rig.offer('a')
    const { attempt, credit } = rig.target.open_[0]!
    credit.abandon()
    attempt.done(HANGS)
    rig.clock.advance(1_000)
    expect(rig.target.gate.state().queuedEvents).toBe(1)
    attempt.late!(ACCEPT)
    expect(rig.target.gate.state().queuedEvents).toBe(0)
    expect(rig.state).toMatchObject({ delivered: 1, waiting: 0, queued: 0 })
  })

  test('a late 2xx after the retry started changes nothing', () => {
    const rig = new Rig()
    rig.offer('a')
    const { attempt, credit } = rig.target.open_.shift()!
    credit.abandon()
    attempt.done(HANGS)
    rig.clock.advance(1_000)
    expect(rig.target.sent).toHaveLength(2)
    attempt.late!(ACCEPT)
    expect(rig.feed.settled).toEqual([])
    rig.target.end('a', ACCEPT)
    expect(rig.feed.hows('delivered')).toEqual(['a'])
  })

  test('a late 2xx of the subscriber counts before the dead letter was sent, not after', () => {
    const rig = new Rig({ plan: { deadLetter: 'd', delivery: { ...new Rig().spec.plan.delivery, retry: 0 } } })
    rig.deadLetter.gate.setLimit('http://dead-pod', 1)
    for (const id of ['a', 'b']) rig.offer(id)
    const [a, b] = rig.target.open_.splice(0)
    for (const open of [a!, b!]) {
      open.credit.abandon()
      open.attempt.done(HANGS)
    }
    expect(rig.deadLetter.under).toEqual(['a'])
    a!.attempt.late!(ACCEPT)
    b!.attempt.late!(ACCEPT)
    expect(rig.feed.settled).toEqual([{ id: 'b', how: 'delivered' }])
    rig.deadLetter.end('a', ACCEPT)
    expect(rig.state).toMatchObject({ delivered: 1, deadLettered: 1, waiting: 0 })
  })

  test('the pod is gone while it runs: retried', () => {
    const rig = new Rig()
    rig.offer('a')
    const { attempt, credit } = rig.target.open_.shift()!
    credit.onGone(() => attempt.done({ kind: 'retryable', status: 0, why: 'the pod is gone' }))
    rig.target.gate.gone('http://subscriber-pod')
    rig.target.gate.add('other', credit.origin, 1)
    rig.clock.advance(1_000)
    credit.release({ ms: 1, ok: false })
    rig.target.end('a', ACCEPT)
    expect(rig.target.sent.map((s) => s.attempt)).toEqual([1, 2])
    expect(rig.state).toMatchObject({ delivered: 1 })
  })
})

describe('dead letters', () => {
  const withSink = { deadLetter: 'd' }

  test('a rejected event goes to the sink with what Knative says about it', () => {
    const rig = new Rig({ plan: withSink })
    rig.offer('a', { partitionkey: 'k' })
    rig.target.end('a', REJECT)
    const [letter] = rig.deadLetter.sent
    expect(letter).toMatchObject({ attempt: 1, leg: 'dead-letter', wantsReply: false })
    expect(letter!.event.extensions).toEqual([
      ['partitionkey', 'k'],
      ['knativeerrordest', 'http://subscriber'],
      ['knativeerrorcode', 400],
      ['knativeerrordata', Buffer.from('no such order').toString('base64')],
    ])
    expect(Buffer.from(letter!.event.data!).toString()).toBe('a')
    rig.deadLetter.end('a', ACCEPT)
    expect(rig.feed.settled).toEqual([{ id: 'a', how: 'dead-lettered' }])
    expect(rig.state).toMatchObject({ deadLettered: 1, waiting: 0 })
  })

  test('the error data has at most 1024 characters and is whole base64; an integer stands for no answer', () => {
    const rig = new Rig({ plan: { ...withSink, delivery: { ...new Rig().spec.plan.delivery, retry: 0 } } })
    rig.offer('a')
    rig.target.end('a', { kind: 'rejected', status: 422, why: 'x', body: Buffer.alloc(5_000, 'y') })
    const data = rig.deadLetter.sent[0]!.event.attribute('knativeerrordata') as string
    expect(data).toHaveLength(1_024)
    expect(Buffer.from(data, 'base64').toString()).toBe('y'.repeat(768))
    rig.offer('b')
    rig.target.end('b', HANGS)
    const letter = rig.deadLetter.sent[1]!.event
    expect(letter.attribute('knativeerrorcode')).toBe(500)
    expect(Buffer.from(letter.attribute('knativeerrordata') as string, 'base64').toString()).toBe(HANGS.why)
  })

  test('the sink gets the same retries; then the event itself is parked with both stories', () => {
    const rig = new Rig({ plan: withSink })
    rig.offer('a')
    rig.target.end('a', REJECT)
    for (let i = 1; i <= 4; i++) {
      expect(rig.deadLetter.sent.at(-1)!.attempt).toBe(i)
      rig.deadLetter.end('a', FAIL)
      rig.clock.advance(i * 1_000)
    }
    const { d, state } = rig.feed.parkedOnes[0]!
    expect(d.event.extensions).toEqual([])
    expect(state).toMatchObject({ phase: 'dead-letter', reason: 'rejected' })
    expect(state.story.map((s) => [s.to, s.attempt, s.status])).toEqual([
      ['http://subscriber', 1, 400],
      ['http://dead', 1, 503],
      ['http://dead', 2, 503],
      ['http://dead', 3, 503],
      ['http://dead', 4, 503],
    ])
    expect(rig.target.sent).toHaveLength(1)
  })

  test('one that was detached on the way to the sink goes on there', () => {
    const rig = new Rig({ plan: withSink })
    const story = [
      { attempt: 1, atMs: 1, tookMs: 1, to: 'http://subscriber', status: 400, error: 'answered 400' },
      { attempt: 2, atMs: 2, tookMs: 1, to: 'http://dead', status: 503, error: 'answered 503' },
    ]
    rig.seat.intake.offer(rig.delivery(eventOf('a'), { story, phase: 'dead-letter' }))
    expect(rig.target.sent).toHaveLength(0)
    expect(rig.deadLetter.sent[0]).toMatchObject({ attempt: 3 })
    expect(rig.deadLetter.sent[0]!.event.attribute('knativeerrorcode')).toBe(400)
    rig.deadLetter.end('a', ACCEPT)
    expect(rig.state).toMatchObject({ restored: 1, deadLettered: 1 })
  })

  test('it never goes back into the subscription it came from', () => {
    const rig = new Rig({ plan: withSink, spec: { deadLetterIsOwnStream: true } })
    rig.offer('a')
    rig.target.end('a', REJECT)
    rig.seat.intake.offer(rig.delivery(rig.deadLetter.sent[0]!.event))
    rig.feed.passedEvents++
    expect(rig.feed.settled).toEqual([{ id: 'a', how: 'filtered' }])
    expect(rig.target.sent).toHaveLength(1)
    expect(rig.state).toMatchObject({ offered: 2, filtered: 1, waiting: 1 })
  })
})

describe('parking', () => {
  test('what cannot be parked stays, nothing more is read, and it is tried again', () => {
    const rig = new Rig({ credits: 10 })
    rig.feed.canPark = false
    rig.offer('a')
    rig.target.end('a', REJECT)
    expect(rig.state).toMatchObject({ waiting: 1, parked: 0, held: 'parked-full' })
    expect(rig.offer('b')).toBe(false)
    expect(rig.target.ids).toEqual(['a'])
    rig.feed.canPark = true
    rig.clock.advance(5_000)
    expect(rig.feed.parkedOnes.map((p) => p.state.reason)).toEqual(['rejected'])
    expect(rig.state).toMatchObject({ parked: 1, held: '' })
    expect(rig.feed.resumed).toEqual([0])
    expect(rig.target.under).toEqual(['b'])
  })

  test('100 rejections in a row stop the reading; one success between counts anew; a person lets it go on', () => {
    const rig = new Rig()
    for (let i = 0; i < 99; i++) {
      rig.offer(`r${i}`)
      rig.target.end('oldest', REJECT)
    }
    rig.offer('good')
    rig.target.end('good', ACCEPT)
    for (let i = 0; i < 100; i++) {
      expect(rig.state.held).toBe('')
      rig.offer(`s${i}`)
      rig.target.end('oldest', REJECT)
    }
    expect(rig.state).toMatchObject({ held: 'rejecting', parked: 199 })
    expect(rig.offer('next')).toBe(false)
    expect(rig.target.under).toEqual([])
    rig.machine.resume(SUB)
    expect(rig.state.held).toBe('')
    expect(rig.target.under).toEqual(['next'])
  })

  test('on-park: stop waits for a person after each', () => {
    const rig = new Rig({ plan: { onPark: 'stop', order: 'ordered' } })
    for (const id of ['a', 'b']) rig.offer(id)
    rig.target.end('a', REJECT)
    expect(rig.state).toMatchObject({ held: 'on-park', parked: 1 })
    expect(rig.target.under).toEqual([])
    rig.machine.resume(SUB)
    expect(rig.target.under).toEqual(['b'])
  })

  test('bytes that are no event are parked as they came, and counted', () => {
    const rig = new Rig()
    const bad = { raw: Buffer.from('x'), headers: [], why: 'no id' }
    rig.feed.passedEvents++
    rig.seat.intake.undecodable(SUB, 0, 5, bad)
    expect(rig.feed.raw).toEqual([{ position: 5, bad }])
    expect(rig.state).toMatchObject({ offered: 1, parked: 1, waiting: 0 })
    rig.feed.canPark = false
    rig.feed.passedEvents++
    rig.seat.intake.undecodable(SUB, 0, 6, bad)
    expect(rig.state).toMatchObject({ offered: 2, parked: 1, waiting: 1, held: 'parked-full' })
    rig.feed.canPark = true
    rig.clock.advance(5_000)
    expect(rig.state).toMatchObject({ parked: 2, waiting: 0, held: '' })
  })
})

describe('replies', () => {
  const replying = { reply: 'r' }
  const withReply = (o: Parameters<typeof eventOf>[1] = {}) =>
    ({ kind: 'accepted', status: 200, reply: eventOf('reply', o) }) as const

  test('a reply goes on with the passes, hops and trace of the event it answers', () => {
    const rig = new Rig({ plan: replying })
    rig.offer('a', { envelope: { ttl: 9, hops: 2, traceparent: '00-t', headers: ['x-request-id', '1'] } })
    rig.target.end('a', withReply({ envelope: { ttl: 200, hops: 0 } }))
    expect(rig.feed.settled).toEqual([])
    const [attempt] = rig.reply.sent
    expect(attempt).toMatchObject({ leg: 'reply', attempt: 1, wantsReply: false })
    expect(attempt!.event.envelope).toMatchObject({ ttl: 9, hops: 2, traceparent: '00-t', headers: ['x-request-id', '1'] })
    rig.reply.end('reply', ACCEPT)
    expect(rig.feed.settled).toEqual([{ id: 'a', how: 'delivered' }])
    expect(rig.story).toContain('replied a')
  })

  test('202 is never routed, nor is anything where nobody wants replies', () => {
    const rig = new Rig({ plan: replying })
    rig.offer('a')
    rig.target.end('a', { ...withReply(), status: 202 })
    const dropped = new Rig()
    dropped.offer('b')
    dropped.target.end('b', withReply())
    expect([rig.reply.sent.length, dropped.reply.sent.length]).toEqual([0, 0])
    expect([rig.state.delivered, dropped.state.delivered]).toEqual([1, 1])
    expect(dropped.target.sent[0]!.wantsReply).toBe(false)
  })

  test('a reply to the stream of the delivery is settled by its append', () => {
    const rig = new Rig({ plan: replying, spec: { replyIsOwnStream: true } })
    rig.offer('a')
    rig.target.end('a', withReply())
    expect(rig.reply.sent[0]!.settles).toBe(rig.target.sent[0]!.delivery)
    const other = new Rig({ plan: replying })
    other.offer('a')
    other.target.end('a', withReply())
    expect(other.reply.sent[0]!.settles).toBe(undefined)
  })

  test('one that cannot be stored is retried alone: the subscriber is not called again', () => {
    const rig = new Rig({ plan: replying })
    rig.offer('a')
    rig.target.end('a', withReply())
    rig.reply.end('reply', FAIL)
    rig.clock.advance(1_000)
    rig.reply.end('reply', ACCEPT)
    expect(rig.target.sent).toHaveLength(1)
    expect(rig.reply.sent).toHaveLength(2)
    expect(rig.state).toMatchObject({ delivered: 1, attempts: 3 })
  })

  test('one whose sink never takes it: the original is dead-lettered with that sink as the destination', () => {
    const rig = new Rig({ plan: { ...replying, deadLetter: 'd', delivery: { ...new Rig().spec.plan.delivery, retry: 0 } } })
    rig.offer('a')
    rig.target.end('a', withReply())
    rig.reply.end('reply', FAIL)
    expect(rig.deadLetter.sent[0]!.event.id).toBe('a')
    expect(rig.deadLetter.sent[0]!.event.attribute('knativeerrordest')).toBe('http://reply')
  })

  test('one that claims to be an event and is none: the original is dead-lettered, no second call', () => {
    const rig = new Rig({ plan: { ...replying, deadLetter: 'd' } })
    rig.offer('a')
    rig.target.end('a', { kind: 'accepted', status: 200, badReply: 'ce-id is missing' })
    expect(rig.deadLetter.sent[0]!.event.attribute('knativeerrordata')).toBe(Buffer.from('ce-id is missing').toString('base64'))
    rig.deadLetter.end('a', ACCEPT)
    expect(rig.target.sent).toHaveLength(1)
    expect(rig.state).toMatchObject({ deadLettered: 1 })
  })

  test('a reply without a pass left is not routed: reason loop', () => {
    const rig = new Rig({ plan: replying })
    rig.offer('a', { envelope: { ttl: 1 } })
    rig.target.end('a', withReply())
    expect(rig.reply.sent).toHaveLength(0)
    expect(rig.feed.parkedOnes[0]!.state.reason).toBe('loop')
    rig.offer('b', { envelope: { ttl: 2 } })
    rig.target.end('b', withReply())
    rig.reply.end('reply', { kind: 'rejected', status: 508, why: 'seen before' })
    expect(rig.feed.parkedOnes[1]!.state.reason).toBe('loop')
  })

  test('the TTL a subscriber wrote into its reply counts for nothing and is taken off', () => {
    const rig = new Rig({ plan: replying })
    rig.offer('a', { envelope: { ttl: 9 } })
    const reply = eventOf('reply').with({
      extensions: [
        ['knativebrokerttl', 1],
        ['kept', 'x'],
      ],
    })
    rig.target.end('a', { kind: 'accepted', status: 200, reply })
    expect(rig.reply.sent[0]!.event.extensions).toEqual([['kept', 'x']])
    expect(rig.reply.sent[0]!.event.envelope.ttl).toBe(9)
  })
})

describe('the account', () => {
  test('what went past without matching is filtered', () => {
    const rig = new Rig()
    rig.feed.passedEvents = 10
    rig.offer('a')
    expect(rig.state).toMatchObject({ offered: 11, filtered: 10, waiting: 1 })
  })

  test('a subscription that is not here has nothing', () => {
    expect(new Rig().machine.state(999)).toMatchObject({ offered: 0, waiting: 0, held: '' })
  })
})
