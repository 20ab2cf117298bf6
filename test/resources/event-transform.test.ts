import { describe, expect, test } from 'vitest'
import { item, planOf, read } from './planning.ts'

const transform = (spec: string): string => `
apiVersion: eventing.knative.dev/v1alpha1
kind: EventTransform
metadata: {name: t}
spec: ${spec}
`

describe('EventTransform', () => {
  test('is a function that events are sent to, by its paths, its name in the cluster and refs', () => {
    const plan = planOf(`${transform('{jsonata: {expression: "$"}}')}---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: in}
spec: {broker: default, subscriber: {ref: {apiVersion: eventing.knative.dev/v1alpha1, kind: EventTransform, name: t}}}
`)
    const key = 'eventtransform/default/t#function'
    expect(item(plan.targets, key)).toMatchObject({
      kind: 'function',
      function: 'jsonata',
      settings: { expression: '$', sink: null, resolved: true },
    })
    expect(item(plan.subscriptions, 'trigger/default/in')).toMatchObject({ target: key, reply: expect.any(String) as string })
    const routes = plan.routes.filter((r) => r.to.kind === 'target').map((r) => r.host + r.path)
    expect(routes).toEqual(['/default/eventtransforms/t', '/default/t', 't-jsonata.default.svc.cluster.local'])
    expect(item(plan.resources, 'eventtransform/default/t').address).toBe('{data}/default/t')
  })

  test('has a sink and what becomes of its replies', () => {
    const plan = planOf(
      transform('{sink: {uri: "http://sink.example"}, jsonata: {expression: a}, reply: {jsonata: {expression: b}}}'),
    )
    expect(item(plan.targets, 'eventtransform/default/t#function')).toMatchObject({
      settings: { sink: 'eventtransform/default/t#sink', replyExpression: 'b', discardReply: false },
    })
  })

  test('a sink that is not there keeps events back, and its status says so', () => {
    const plan = planOf(transform('{sink: {ref: {apiVersion: v1, kind: Broker, name: none}}, jsonata: {expression: a}}'))
    expect(item(plan.targets, 'eventtransform/default/t#function')).toMatchObject({ settings: { resolved: false } })
    expect(item(plan.resources, 'eventtransform/default/t').unresolved[0]).toMatchObject({ condition: 'SinkProvided' })
  })

  test.each([
    ['{}', /spec.jsonata/],
    ['{jsonata: {expression: "{"}}', /spec.jsonata.expression: .*jsonata, column \d/],
    ['{jsonata: {expression: ""}}', /spec.jsonata.expression/],
    ['{jsonata: {expression: a}, reply: {discard: true}}', /spec.reply: .*needs a sink/],
    [
      '{sink: {uri: "http://s"}, jsonata: {expression: a}, reply: {discard: true, jsonata: {expression: b}}}',
      /both discard and transform/,
    ],
    ['{jsonata: {expression: a}, sauce: 1}', /spec.sauce/],
  ])('%s is refused', (spec, why) => {
    expect(read(transform(spec)).texts.join('\n')).toMatch(why)
  })

  test.each(['sluice.dev/ack: callback', 'sluice.dev/batch-max: "5"'])('%s makes no sense for a function', (annotation) => {
    const { texts } = read(`${transform('{jsonata: {expression: "$"}}')}---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: in, annotations: {${annotation}}}
spec: {broker: default, subscriber: {ref: {kind: EventTransform, name: t}}}
`)
    expect(texts.join('\n')).toContain(annotation.split(':')[0])
  })
})
