import { describe, expect, test } from 'vitest'
import type { Plan } from '../../src/contract/plan.ts'
import { item, planOf, read } from './planning.ts'

/** From what, to what, with which reply: the drawing of a flow. */
function hops(plan: Plan): Record<string, readonly (string | null)[]> {
  const where = (key: string | null): string | null => {
    const t = key === null ? undefined : item(plan.targets, key)
    return t === undefined ? null : t.kind === 'uri' ? t.uri : t.kind === 'stream' ? t.stream : t.key
  }
  return Object.fromEntries(
    plan.subscriptions.map((s) => [s.key, ['stream' in s.from ? s.from.stream : s.from.source, where(s.target), where(s.reply)]]),
  )
}
const at = (kind: string, name: string, spec: string, apiVersion = 'flows.knative.dev/v1'): string =>
  `{apiVersion: ${apiVersion}, kind: ${kind}, metadata: {name: ${name}}, spec: ${spec}}\n---\n`
const uri = (host: string): string => `{uri: "http://${host}.example"}`

describe('a Sequence', () => {
  const plan = planOf(
    at(
      'Sequence',
      'q',
      `{steps: [${uri('a')}, {uri: "http://b.example", delivery: {retry: 2}}, ${uri('c')}], reply: ${uri('r')}}`,
    ),
  )
  test('is one channel a step, each answering into the next, the last to reply', () => {
    expect(plan.streams.map((s) => s.key)).toEqual([0, 1, 2].map((i) => `inmemorychannel/default/q-kn-sequence-${i}`))
    expect(hops(plan)).toEqual({
      'subscription/default/q-kn-sequence-0': [
        'inmemorychannel/default/q-kn-sequence-0',
        'http://a.example',
        'inmemorychannel/default/q-kn-sequence-1',
      ],
      'subscription/default/q-kn-sequence-1': [
        'inmemorychannel/default/q-kn-sequence-1',
        'http://b.example',
        'inmemorychannel/default/q-kn-sequence-2',
      ],
      'subscription/default/q-kn-sequence-2': ['inmemorychannel/default/q-kn-sequence-2', 'http://c.example', 'http://r.example'],
    })
    expect(plan.subscriptions.map((s) => s.delivery.retry)).toEqual([0, 2, 0])
  })
  test('is reached at its first channel', () => {
    expect(plan.routes.filter((r) => r.to.kind === 'stream' && r.to.stream.endsWith('-0')).map((r) => r.host + r.path)).toEqual([
      '/default/q',
      '/default/sequences/q',
      'q-kn-sequence-0-kn-channel.default.svc.cluster.local',
    ])
    expect(item(plan.resources, 'sequence/default/q')).toMatchObject({
      address: '{data}/default/q',
      sinks: {
        'steps[0]': 'http://a.example',
        'steps[1]': 'http://b.example',
        'steps[2]': 'http://c.example',
        reply: 'http://r.example',
      },
    })
  })
  test('loses nothing where a step has answered before the next one listens', () => {
    expect(plan.subscriptions.map((s) => s.start)).toEqual(
      plan.subscriptions.map(() => ({ at: 'committed', otherwise: { at: 'earliest' } })),
    )
  })
  test('drops the last answer where nobody wants it', () => {
    expect(planOf(at('Sequence', 'q', `{steps: [${uri('a')}]}`)).subscriptions[0]?.reply).toBeNull()
  })
  test('holds its last step while the reply leads nowhere', () => {
    const { plan: held } = read(
      at('Sequence', 'q', `{steps: [${uri('a')}], reply: {ref: {apiVersion: x/v1, kind: Broker, name: gone}}}`),
    )
    expect(held.subscriptions[0]).toMatchObject({ target: null, reply: null })
    expect(held.resources[0]?.unresolved).toEqual([
      { condition: 'ReplyResolved', reason: 'NotFound', message: 'spec.reply: there is no Broker default/gone' },
    ])
  })
})

test('a Parallel is an ingress, a channel a branch, a filter that answers into it, and the branch’s or the common reply', () => {
  const plan = planOf(
    at(
      'Parallel',
      'p',
      `{branches: [{filter: ${uri('odd')}, subscriber: ${uri('a')}}, {subscriber: ${uri('b')}, reply: ${uri('rb')}}], reply: ${uri('r')}}`,
    ),
  )
  const channel = 'inmemorychannel/default/p-kn-parallel'
  expect(hops(plan)).toEqual({
    'subscription/default/p-kn-parallel-filter-0': [channel, 'http://odd.example', `${channel}-0`],
    'subscription/default/p-kn-parallel-0': [`${channel}-0`, 'http://a.example', 'http://r.example'],
    'subscription/default/p-kn-parallel-filter-1': [channel, `${channel}-1`, null],
    'subscription/default/p-kn-parallel-1': [`${channel}-1`, 'http://b.example', 'http://rb.example'],
  })
  expect(item(plan.resources, 'parallel/default/p').address).toBe('{data}/default/p')
})

describe('Channels and Subscriptions', () => {
  const channels =
    at('Channel', 'c', '{delivery: {retry: 4}}', 'messaging.knative.dev/v1') +
    at('InMemoryChannel', 'm', '{}', 'messaging.knative.dev/v1')
  const subscription = (spec: string): string => at('Subscription', 's', spec, 'messaging.knative.dev/v1')
  test('a Subscription reads its channel, answers to reply, and has the channel’s delivery where it has none', () => {
    const plan = planOf(
      channels +
        subscription(
          `{channel: {apiVersion: m, kind: Channel, name: c}, subscriber: ${uri('a')}, reply: {ref: {apiVersion: m, kind: InMemoryChannel, name: m}}}`,
        ),
    )
    expect(hops(plan)).toEqual({
      'subscription/default/s': ['channel/default/c', 'http://a.example', 'inmemorychannel/default/m'],
    })
    expect(item(plan.subscriptions, 'subscription/default/s').delivery.retry).toBe(4)
  })
  test('without a subscriber events go to reply as they are', () => {
    const plan = planOf(channels + subscription(`{channel: {apiVersion: m, kind: InMemoryChannel, name: m}, reply: ${uri('r')}}`))
    expect(hops(plan)).toEqual({ 'subscription/default/s': ['inmemorychannel/default/m', 'http://r.example', null] })
  })
  const missing: readonly [string, string][] = [
    ['{apiVersion: m, kind: Channel, name: gone}', 'spec.channel: there is no Channel default/gone'],
    ['{apiVersion: e, kind: Broker, name: b}', 'spec.channel: a Broker is no channel'],
  ]
  test.for(missing)('%s is told in the status', ([channel, message]) => {
    const { plan, texts } = read(
      channels +
        at('Broker', 'b', '{}', 'eventing.knative.dev/v1') +
        subscription(`{channel: ${channel}, subscriber: ${uri('a')}}`),
    )
    expect(texts).toEqual([])
    expect(plan.subscriptions).toEqual([])
    expect(item(plan.resources, 'subscription/default/s').unresolved).toEqual([
      { condition: 'ReferencesResolved', reason: 'ChannelNotFound', message },
    ])
  })
})

test('of resources of one name the Broker has the short path, and every one its long path', () => {
  const plan = planOf(
    at('Sequence', 'x', `{steps: [${uri('a')}]}`) +
      at('Channel', 'x', '{}', 'messaging.knative.dev/v1') +
      at('Broker', 'x', '{}', 'eventing.knative.dev/v1'),
  )
  expect(plan.resources.map((r) => r.address)).toEqual([
    '{data}/default/x',
    '{data}/default/channels/x',
    '{data}/default/sequences/x',
  ])
})

describe('names that two flows would use', () => {
  test('are a fault', () => {
    const { texts } = read(
      at('InMemoryChannel', 'q-kn-sequence-0', '{}', 'messaging.knative.dev/v1') + at('Sequence', 'q', `{steps: [${uri('a')}]}`),
    )
    expect(texts).toEqual([
      'm.yaml:3: Sequence default/q: metadata.name: would make the stream inmemorychannel/default/q-kn-sequence-0, which another resource makes already; rename one of them',
    ])
  })
  test('but what a cluster says belongs to a flow that is given is left out', () => {
    const owned = `{apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, metadata: {name: q-kn-sequence-0, ownerReferences: [{kind: Sequence, name: q, controller: true}]}}\n---\n`
    const { plan, texts } = read(owned + at('Sequence', 'q', `{steps: [${uri('a')}]}`))
    expect(texts).toEqual([])
    expect(plan.notices).toEqual(['one resource belongs to others given here and is left out'])
    expect(planOf(owned).streams.map((s) => s.key)).toEqual(['inmemorychannel/default/q-kn-sequence-0'])
  })
})

describe('a cycle of flows is refused, once, with its way', () => {
  const to = (kind: string, name: string): string => `{ref: {apiVersion: flows.knative.dev/v1, kind: ${kind}, name: ${name}}}`
  const rows: readonly [string, string, string[]][] = [
    [
      'itself as its reply',
      at('Sequence', 'a', `{steps: [${uri('x')}], reply: ${to('Sequence', 'a')}}`),
      ['Sequence default/a → Sequence default/a'],
    ],
    [
      'through a step and a branch',
      at('Sequence', 'a', `{steps: [${uri('x')}, ${to('Parallel', 'b')}]}`) +
        at('Parallel', 'b', `{branches: [{filter: ${uri('f')}, subscriber: ${to('Sequence', 'c')}}]}`) +
        at('Sequence', 'c', `{steps: [${uri('y')}], reply: ${to('Sequence', 'a')}}`),
      ['Sequence default/a → Parallel default/b → Sequence default/c → Sequence default/a'],
    ],
    [
      'by its own address',
      at('Sequence', 'a', '{steps: [{uri: "http://127.0.0.1:8080/default/a"}]}'),
      ['Sequence default/a → Sequence default/a'],
    ],
    [
      'two of them',
      at('Sequence', 'a', `{steps: [${to('Sequence', 'a')}]}`) + at('Sequence', 'b', `{steps: [${to('Sequence', 'b')}]}`),
      ['Sequence default/a → Sequence default/a', 'Sequence default/b → Sequence default/b'],
    ],
    [
      'none where a Broker lies between',
      at('Sequence', 'a', '{steps: [{uri: "http://x.example"}], reply: {ref: {apiVersion: e, kind: Broker, name: b}}}') +
        at('Broker', 'b', '{}', 'eventing.knative.dev/v1') +
        at('Trigger', 't', `{broker: b, subscriber: ${to('Sequence', 'a')}}`, 'eventing.knative.dev/v1'),
      [],
    ],
    [
      'none where two lead to one',
      at('Sequence', 'a', `{steps: [${to('Sequence', 'c')}]}`) +
        at('Sequence', 'b', `{steps: [${to('Sequence', 'c')}], reply: ${to('Sequence', 'c')}}`) +
        at('Sequence', 'c', `{steps: [${uri('x')}]}`),
      [],
    ],
  ]
  test.for(rows)('%s', ([, yaml, rounds]) => {
    expect(read(yaml).faults.map((f) => [f.path, f.message])).toEqual(
      rounds.map((round) => [
        'spec',
        `makes a cycle: ${round}; every event would go round for ever, so let one of them end elsewhere`,
      ]),
    )
  })
  test('also in a chain of a thousand', () => {
    const chain = Array.from({ length: 1000 }, (_, i) =>
      at('Sequence', `s${i}`, `{steps: [${to('Sequence', `s${(i + 1) % 1000}`)}]}`),
    ).join('')
    expect(read(chain).faults.length).toBe(1)
  })
})

test('EventTypes say what they are of, and whether that is there', () => {
  const { plan } = read(
    at('Broker', 'b', '{}', 'eventing.knative.dev/v1') +
      at('EventType', 'old', '{type: a.b, source: /x, schema: "http://s.example", broker: b}', 'eventing.knative.dev/v1beta1') +
      at(
        'EventType',
        'new',
        '{reference: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: gone}, attributes: [{name: type, required: true, value: a.b}]}',
        'eventing.knative.dev/v1beta3',
      ),
  )
  expect(item(plan.resources, 'eventtype/default/old')).toMatchObject({
    unresolved: [],
    spec: {
      reference: { kind: 'Broker', name: 'b' },
      attributes: [
        { name: 'type', required: true, value: 'a.b' },
        { name: 'source', required: true, value: '/x' },
        { name: 'dataschema', required: false, value: 'http://s.example' },
      ],
    },
  })
  expect(item(plan.resources, 'eventtype/default/new').unresolved.map((u) => u.message)).toEqual([
    'spec.reference: there is no Broker default/gone',
  ])
})
