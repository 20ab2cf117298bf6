import { describe, expect, test } from 'vitest'
import { eventTypesOf, watchedStreams } from '../../src/engine/event-types.ts'
import type { EventTypes, FoundType } from '../../src/observe/event-types.ts'
import { SILENT } from '../../src/contract/observer.ts'
import { planOf } from '../resources/planning.ts'

const MANIFESTS = `
apiVersion: v1
kind: ConfigMap
metadata: {name: config-features, namespace: knative-eventing}
data: {eventtype-auto-create: enabled}
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: shop}
---
apiVersion: messaging.knative.dev/v1
kind: Channel
metadata: {name: news}
---
apiVersion: flows.knative.dev/v1
kind: Sequence
metadata: {name: s}
spec: {steps: [{uri: "http://one.example"}]}
---
apiVersion: eventing.knative.dev/v1beta3
kind: EventType
metadata: {name: ordered}
spec:
  reference: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: shop}
  attributes: [{name: type, value: order}, {name: region, value: eu}]
  description: somebody bought
`

const registry = (...found: FoundType[]): EventTypes => ({
  observer: SILENT,
  watch() {},
  close() {},
  found: () => found,
  leftOut: () => new Map([['broker/default/shop', 7]]),
})
const found = (stream: string, type: string, source = '/s'): FoundType => ({ stream, type, source, schema: '', firstMs: 0 })

describe('what can be subscribed to', () => {
  test('brokers and channels are watched where config-features says so, channels inside flows never', () => {
    expect([...watchedStreams(planOf(MANIFESTS))].toSorted()).toEqual(['broker/default/shop', 'channel/default/news'])
    expect([...watchedStreams(planOf(MANIFESTS.replace('enabled', 'disabled')))]).toEqual([])
  })

  test('is what was declared and what was found, each with a manifest to copy', () => {
    const plan = planOf(MANIFESTS)
    const list = eventTypesOf(
      plan,
      registry(
        found('broker/default/shop', 'order'),
        found('channel/default/news', 'News.v1'),
        found('broker/default/gone', 'x'),
      ),
    )
    expect(list.leftOut).toEqual({ 'broker/default/shop': 7 })
    expect(list.items.map((i) => [i.reference?.kind, i.type, i.source, i.declared, i.found === ''])).toEqual([
      ['Channel', 'News.v1', '/s', '', false],
      ['Broker', 'order', '', 'default/ordered', false],
    ])
    expect(list.items[1]).toMatchObject({ description: 'somebody bought', attributes: { region: 'eu' } })
    expect(list.items[1]!.example).toMatchObject({
      kind: 'Trigger',
      metadata: { name: 'on-order', namespace: 'default' },
      spec: { broker: 'shop', filter: { attributes: { type: 'order' } } },
    })
    expect(list.items[0]!.example).toMatchObject({
      kind: 'Subscription',
      metadata: { name: 'on-news-v1' },
      spec: { channel: { apiVersion: 'messaging.knative.dev/v1', kind: 'Channel', name: 'news' } },
    })
  })

  test('the manifests to copy are sound', () => {
    const { items } = eventTypesOf(
      planOf(MANIFESTS),
      registry(found('channel/default/news', '!?'), found('broker/default/shop', 'A B')),
    )
    for (const { example } of items) {
      const plan = planOf(`${MANIFESTS}---\n${JSON.stringify(example)}\n`)
      expect(plan.subscriptions.length).toBeGreaterThan(1)
    }
    expect(items).toHaveLength(3)
  })

  test('nothing before the first plan', () => {
    expect(eventTypesOf(null, registry()).items).toEqual([])
  })
})
