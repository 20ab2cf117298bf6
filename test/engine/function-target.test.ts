import { describe, expect, test } from 'vitest'
import type { Outcome } from '../../src/contract/outcome.ts'
import type { Attempt, Credit } from '../../src/contract/target.ts'
import { SILENT_DELIVERY } from '../../src/contract/delivery.ts'
import { CloudEvent, NEW_ENVELOPE } from '../../src/event/event.ts'
import { createFunctionTarget, type TransformSettings } from '../../src/engine/function-target.ts'
import type { Evaluation } from '../../src/vendor/jsonata/evaluator.ts'
import { TargetDouble } from '../subscription/rig.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'

const EVENT = new CloudEvent({
  id: 'e',
  source: '/s',
  type: 't',
  datacontenttype: 'application/json',
  data: Buffer.from('{"n":1}'),
  envelope: { ...NEW_ENVELOPE, ttl: 9, traceparent: '00-t' },
})
const made = { specversion: '1.0', id: 'e2', source: '/s2', type: 't2', data: { n: 2 } }

/** A function whose expressions give what the test says. */
function set(
  says: Readonly<Record<string, unknown>>,
  settings: Partial<TransformSettings> = {},
): {
  readonly sink: TargetDouble
  readonly inputs: unknown[]
  readonly state: () => { inFlight: number }
  send(a?: Partial<Attempt>): Outcome[]
} {
  const clock = new VirtualClock()
  const sink = new TargetDouble(clock, 2, 'http://sink')
  const inputs: unknown[] = []
  const target = createFunctionTarget(
    1,
    {
      kind: 'function',
      key: 'eventtransform/default/t#function',
      function: 'jsonata',
      settings: {
        expression: 'x',
        sink: null,
        resolved: true,
        discardReply: false,
        replyExpression: null,
        namespace: 'default',
        ...settings,
      },
    },
    {
      clock,
      target: (key) => (key === 'sink' ? sink : undefined),
      evaluator: {
        evaluate(expression, input, done) {
          inputs.push(JSON.parse(input))
          const said = says[expression]
          const failed = typeof said === 'object' && said !== null && 'kind' in said
          done(failed ? (said as Evaluation) : { kind: 'value', json: said === undefined ? undefined : JSON.stringify(said) })
        },
        close() {},
      },
    },
  )
  return {
    sink,
    inputs,
    state: () => target.state(),
    send(more = {}) {
      const outcomes: Outcome[] = []
      const attempt: Attempt = {
        delivery: SILENT_DELIVERY,
        event: EVENT,
        attempt: 1,
        deadlineMs: 1_000,
        wantsReply: true,
        structured: false,
        namespace: 'default',
        headers: [],
        done: (o) => void outcomes.push(o),
        ...more,
      }
      target.acquire({
        kind: 'event',
        sub: 0,
        retry: false,
        bytes: 0,
        start: (c: Credit) => target.send(attempt, c),
        refused() {},
      })
      return outcomes
    },
  }
}

describe('a transformation', () => {
  test('gets the event in the JSON format; without a sink what it makes is the reply', () => {
    const f = set({ x: made })
    expect(f.send()).toMatchObject([{ kind: 'accepted', status: 200, reply: { id: 'e2', type: 't2' } }])
    expect(f.inputs).toEqual([
      { specversion: '1.0', id: 'e', source: '/s', type: 't', datacontenttype: 'application/json', data: { n: 1 } },
    ])
    expect(f.state().inFlight).toBe(0)
  })

  test.each([[undefined], [null]])('%s ends the event there', (nothing) => {
    expect(set({ x: nothing }).send()).toEqual([{ kind: 'accepted', status: 200 }])
  })

  test('what is no event is told, not dropped', () => {
    expect(set({ x: { id: 'e' } }).send()).toMatchObject([
      { kind: 'accepted', badReply: expect.stringContaining('specversion') as string },
    ])
    expect(set({ x: 'text' }, { sink: 'sink' }).send()).toMatchObject([
      { kind: 'accepted', badReply: expect.any(String) as string },
    ])
  })

  test('an expression that fails is final, one that took too long is not', () => {
    expect(set({ x: { kind: 'error', why: 'no' } }).send()).toMatchObject([{ kind: 'rejected', status: 500 }])
    expect(set({ x: { kind: 'exhausted', why: 'slow' } }).send()).toMatchObject([{ kind: 'retryable', status: 504, why: 'slow' }])
  })

  test('with a sink the event goes on with its trace and one pass less, and the answer comes back', () => {
    const f = set({ x: made }, { sink: 'sink' })
    const outcomes = f.send()
    expect(f.sink.sent[0]).toMatchObject({
      event: { id: 'e2', envelope: { ttl: 8, hops: 1, traceparent: '00-t' } },
      wantsReply: true,
    })
    expect([outcomes.length, f.state().inFlight]).toEqual([0, 1])
    f.sink.end('e2', { kind: 'accepted', status: 200, reply: new CloudEvent({ id: 'r', source: '/r', type: 'r' }) })
    expect(outcomes).toMatchObject([{ kind: 'accepted', reply: { id: 'r' } }])
    expect(f.state().inFlight).toBe(0)
  })

  test('the reply can be transformed, or left aside', () => {
    const reply = new CloudEvent({ id: 'r', source: '/r', type: 'r' })
    const changed = set({ x: made, y: { ...made, id: 'r2' } }, { sink: 'sink', replyExpression: 'y' })
    const one = changed.send()
    changed.sink.end('e2', { kind: 'accepted', status: 200, reply })
    expect(one).toMatchObject([{ kind: 'accepted', reply: { id: 'r2' } }])
    const aside = set({ x: made }, { sink: 'sink', discardReply: true })
    const two = aside.send()
    expect(aside.sink.sent[0]!.wantsReply).toBe(false)
    aside.sink.end('e2', { kind: 'accepted', status: 200, reply })
    expect(two).toEqual([{ kind: 'accepted', status: 200 }])
  })

  test('what the sink does not take is the outcome; a sink that is away is no attempt', () => {
    const f = set({ x: made }, { sink: 'sink' })
    const outcomes = f.send()
    f.sink.end('e2', { kind: 'retryable', status: 503, why: 'answered 503' })
    expect(outcomes).toEqual([{ kind: 'retryable', status: 503, why: 'answered 503' }])
    expect(set({ x: made }, { sink: 'gone' }).send()).toMatchObject([{ kind: 'retryable', unattempted: true }])
  })

  test('functions that feed one another end like any loop', () => {
    const tired = EVENT.with({ envelope: { ...NEW_ENVELOPE, ttl: 1 } })
    expect(set({ x: made }, { sink: 'sink' }).send({ event: tired })).toMatchObject([{ kind: 'rejected', status: 508 }])
  })

  test('takes 64 events at a time', () => {
    const f = set({ x: made }, { sink: 'sink' })
    for (let i = 0; i < 70; i++) f.send()
    expect([f.sink.sent.length, f.state().inFlight]).toEqual([64, 64])
  })
})
