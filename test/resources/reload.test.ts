import { describe, expect, test } from 'vitest'
import { read } from './planning.ts'

const broker = (name: string, spec = '{}', annotations = '{}'): string =>
  `{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: ${name}, annotations: ${annotations}}, spec: ${spec}}\n---\n`
const trigger = (of: string, more = ''): string =>
  `{apiVersion: eventing.knative.dev/v1, kind: Trigger, metadata: {name: t}, spec: {broker: ${of}, subscriber: {uri: "http://a.example"}${more}}}\n---\n`
const source = (group: string): string =>
  `{apiVersion: sources.knative.dev/v1, kind: KafkaSource, metadata: {name: k}, spec: {bootstrapServers: ["a:9092"], topics: [t], consumerGroup: ${group}, sink: {uri: "http://a.example"}}}\n---\n`
const subscription = (channel: string): string =>
  `{apiVersion: messaging.knative.dev/v1, kind: Subscription, metadata: {name: s}, spec: {channel: {apiVersion: m, kind: Channel, name: ${channel}}, subscriber: {uri: "http://a.example"}}}\n---\n`

/** Faults of the second manifests where the first ones run. */
const change = (before: string, after: string): readonly string[] => read(after, { running: read(before).immutables }).texts

describe('a reload may not change', () => {
  const rows: readonly [string, string, string, string][] = [
    [
      'the broker of a Trigger',
      trigger('a'),
      trigger('b'),
      'm.yaml:1: Trigger default/t: spec.broker: is "b", was "a", and cannot be changed while it runs; take the Trigger away and bring it back, or give the new one another name',
    ],
    [
      'the class of a Broker',
      broker('b'),
      broker('b', '{}', '{eventing.knative.dev/broker.class: none}'),
      'm.yaml:1: Broker default/b: metadata.annotations["eventing.knative.dev/broker.class"]: is "none", was missing, and cannot be changed while it runs; take the Broker away and bring it back, or give the new one another name',
    ],
    [
      'the group of a KafkaSource',
      source('g'),
      source('h'),
      'm.yaml:1: KafkaSource default/k: spec.consumerGroup: is "h", was "g", and cannot be changed while it runs; take the KafkaSource away and bring it back, or give the new one another name',
    ],
  ]
  test.for(rows)('%s', ([, before, after, fault]) => {
    expect(change(before, before)).toEqual([])
    expect(change(before, after)).toEqual([fault])
  })
  test.each(['Sequence', 'Parallel'])('the channelTemplate of a %s, while its steps may change', (kind) => {
    const flow = (template: string, uri: string): string => {
      const of = kind === 'Sequence' ? `steps: [{uri: "http://${uri}"}]` : `branches: [{subscriber: {uri: "http://${uri}"}}]`
      return `apiVersion: flows.knative.dev/v1\nkind: ${kind}\nmetadata: {name: f}\nspec: {channelTemplate: {apiVersion: v1, kind: ${template}}, ${of}}\n`
    }
    expect(change(flow('InMemoryChannel', 'a'), flow('KafkaChannel', 'a'))).toEqual([
      expect.stringContaining(`${kind} default/f: spec.channelTemplate: `),
    ])
    expect(change(flow('InMemoryChannel', 'a'), flow('InMemoryChannel', 'b'))).toEqual([])
  })
  test('the channel of a Subscription, the config of a Broker', () => {
    expect(change(subscription('a'), subscription('b')).length).toBe(1)
    expect(change(broker('b'), broker('b', '{config: {apiVersion: v1, kind: ConfigMap, name: c}}')).length).toBe(1)
  })
})

test('anything else may change, also what was away in between', () => {
  expect(change(trigger('a'), trigger('a', ', delivery: {retry: 1}'))).toEqual([])
  expect(change(broker('b'), broker('c'))).toEqual([])
  const gone = read('', { running: read(trigger('a')).immutables })
  expect(read(trigger('b'), { running: gone.immutables }).texts).toEqual([])
})
