import { describe, expect, test } from 'vitest'
import { SILENT_DELIVERY } from '../../src/contract/delivery.ts'
import type { FilterExpression } from '../../src/contract/filter.ts'
import type { Plan } from '../../src/contract/plan.ts'
import type { Engine, RunningSubscription } from '../../src/engine/engine.ts'
import { createWatch } from '../../src/engine/watch.ts'
import { CloudEvent } from '../../src/event/event.ts'
import { createJournal, MOST_DATA_BYTES, type Journal } from '../../src/observe/journal.ts'
import { createTails } from '../../src/observe/tails.ts'
import type { Watch } from '../../src/observe/watch.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { planOf } from '../subscription/rig.ts'

const STREAM = 'broker/default/b0'
const KEYS = ['trigger/default/all', 'trigger/default/typed', 'source/default/s#sink']
const NAMES = {
  sub: (id: number) => KEYS[id] ?? 'trigger/default/gone',
  target: () => 'target',
  stream: () => STREAM,
  ingress: () => '',
  service: () => '',
}

function rig(): { watch: Watch; journal: Journal } {
  const typed: FilterExpression = { dialect: 'exact', attributes: { type: 'wanted' } }
  const plans = [
    planOf({ key: 'trigger/default/all', from: { stream: STREAM }, filter: null }),
    planOf({ key: 'trigger/default/typed', from: { stream: STREAM }, filter: typed }),
    planOf({ key: 'source/default/s#sink', from: { source: 'kafkasource/default/s' }, filter: null }),
  ]
  const subscriptions = new Map(plans.map((plan, id) => [plan.key, { id, plan } as unknown as RunningSubscription]))
  const view = (kind: string, name: string, items: string[]): object => ({ kind, namespace: 'default', name, items })
  const resources = [
    view('Broker', 'b0', [STREAM]),
    view('KafkaSource', 's', ['kafkasource/default/s', 'source/default/s#sink']),
    view('Secret', 'x', []),
  ]
  const engine = {
    plan: () => ({ resources }) as unknown as Plan,
    subscriptions,
    streams: new Map([[STREAM, {}]]),
  } as unknown as Engine
  const journal = createJournal({ names: NAMES, clock: new VirtualClock() })
  return { watch: createWatch({ engine, journal, tails: createTails({ names: NAMES, clock: systemClock }) }), journal }
}
const eventOf = (id: string, type: string, bytes = 1): CloudEvent =>
  new CloudEvent({ id, source: '/s', type, extensions: [['bin', new Uint8Array([1])]], data: new Uint8Array(bytes) })
const deliver = (journal: Journal, event: CloudEvent, sub: number): void => {
  const d = { ...SILENT_DELIVERY, event, sub }
  journal.observer.matched(d)
  journal.observer.attempted(d, 1, 'p', { kind: 'accepted', status: 200 }, 0, 1, 0)
  journal.observer.settled(d, 'delivered', 1)
}

describe('explain', () => {
  test('says of every subscription of the stream whether it matched, and why not', () => {
    const { watch, journal } = rig()
    const event = eventOf('1', 'unwanted')
    journal.observer.appended(0, 1, 1, 1, [event])
    deliver(journal, event, 0)
    const [story] = watch.explain('1')
    expect(story?.event).toMatchObject({ id: '1', type: 'unwanted', bin: 'AQ==' })
    expect(story?.event).not.toHaveProperty('data')
    expect(story?.streams).toMatchObject([{ stream: STREAM }])
    expect(story?.subscriptions.map((s) => [s.subscription, s.matched])).toEqual([
      ['trigger/default/all', true],
      ['trigger/default/typed', false],
    ])
    expect(story?.subscriptions[0]?.now).toMatch(/^was delivered since \d{4}-/)
    expect(story?.subscriptions[1]).toMatchObject({
      now: 'did not match',
      clauses: [{ clause: 'filters[0].exact.type', matched: false }],
    })
  })

  test('says when a filter matches now but nothing was offered, and when the data is not there to judge by', () => {
    const { watch, journal } = rig()
    journal.observer.appended(0, 1, 1, 1, [eventOf('2', 'wanted')])
    expect(watch.explain('2')[0]?.subscriptions[1]?.now).toMatch(/^matches now, but was not offered/)
    journal.observer.appended(0, 1, 1, 1, [eventOf('3', 'large', MOST_DATA_BYTES + 1)])
    expect(watch.explain('3')[0]?.subscriptions[1]?.now).toMatch(/too large to be remembered/)
  })

  test('shows events of a source and what a subscription that is gone did', () => {
    const { watch, journal } = rig()
    const event = eventOf('4', 'x')
    deliver(journal, event, 2)
    deliver(journal, event, 9)
    expect(watch.explain('4')[0]?.subscriptions.map((s) => s.subscription)).toEqual([
      'source/default/s#sink',
      'trigger/default/gone',
    ])
    expect(watch.explain('4')[0]?.subscriptions[1]?.now).toMatch(/not in the manifests any more$/)
  })

  test('of an event it does not know it says what can be the reason', () => {
    const { watch, journal } = rig()
    expect(() => watch.explain('nobody')).toThrow(/never came here, or it is too long ago/)
    for (let i = 0; i < 5_000; i++) deliver(journal, eventOf(`hot${i}`, 'x'), 0)
    expect(() => watch.explain('nobody')).toThrow(/not among the 1 of \d+ that are remembered/)
  })
})

test('tail follows the stream of a broker, the subscription of a source, and nothing else', async () => {
  const { watch } = rig()
  const first = async (kind: string, name: string): Promise<unknown> => {
    const gone = new AbortController()
    for await (const line of watch.follow(kind, 'default', name, '', gone.signal)) return JSON.parse(line)
    return undefined
  }
  expect(await first('broker', 'b0')).toEqual({ following: [STREAM] })
  expect(await first('kafkasource', 's')).toEqual({ following: ['source/default/s#sink'] })
  const { signal } = new AbortController()
  expect(() => watch.follow('broker', 'default', 'nobody', '', signal)).toThrow(/there is no broker default\/nobody/)
  expect(() => watch.follow('secret', 'default', 'x', '', signal)).toThrow(/no events pass/)
  expect(() => watch.follow('broker', 'default', 'b0', 'type =', signal)).toThrow(/column/)
})
