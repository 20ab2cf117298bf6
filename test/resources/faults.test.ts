import { describe, expect, test } from 'vitest'
import { read } from './planning.ts'

/** A Trigger with this spec, one field a line; line 4 is `spec:`. */
const trigger = (spec: string): string => `apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: t}
spec:
${spec}`
const subscriber = '  subscriber: {uri: http://a.example}\n'

const rows: readonly [name: string, yaml: string, ...faults: string[]][] = [
  [
    'a field that is missing',
    trigger(subscriber),
    'm.yaml:4: Trigger default/t: spec.broker: is missing, must be the name of a Broker',
  ],
  [
    'a field of the wrong type',
    trigger(`  broker: 5\n${subscriber}`),
    'm.yaml:5: Trigger default/t: spec.broker: is 5, must be a string',
  ],
  [
    'a field nobody knows, and what is known',
    trigger(`  broker: b\n  brokers: c\n${subscriber}`),
    'm.yaml:6: Trigger default/t: spec.brokers: unknown field; allowed: broker, brokerRef, filter, filters, subscriber, delivery',
  ],
  [
    'every fault of a delivery at once',
    trigger(
      `  broker: b\n${subscriber}  delivery:\n    retry: -1\n    timeout: PT0S\n    backoffDelay: 1s\n    backoffPolicy: often\n    format: xml`,
    ),
    'm.yaml:8: Trigger default/t: spec.delivery.retry: is -1, must be a whole number of at least 0',
    'm.yaml:9: Trigger default/t: spec.delivery.timeout: is "PT0S", must be longer than PT0S',
    'm.yaml:10: Trigger default/t: spec.delivery.backoffDelay: is "1s", must be an ISO 8601 duration such as PT0.2S or PT10M, not negative, without years and months, a fraction only in the smallest unit',
    'm.yaml:11: Trigger default/t: spec.delivery.backoffPolicy: is "often", must be one of linear, exponential',
    'm.yaml:12: Trigger default/t: spec.delivery.format: is "xml", must be one of binary, json',
  ],
  [
    'two dialects in one object, beside a fault inside it',
    trigger(
      `  broker: b\n${subscriber}  filters:\n    - exact: {Type: a}\n      prefix: {type: b}\n    - not: {suffix: {type: ""}}`,
    ),
    'm.yaml:8: Trigger default/t: spec.filters[0].exact.Type: is "a", must be an attribute name: lower-case letters and digits, beginning with a letter',
    'm.yaml:8: Trigger default/t: spec.filters[0]: has the dialects exact, prefix; one object may have one',
    'm.yaml:10: Trigger default/t: spec.filters[1].not.suffix.type: is "", must not be empty',
  ],
  [
    'sinks that lead nowhere',
    trigger('  broker: b\n  subscriber: {}\n  delivery:\n    deadLetterSink: {uri: ftp://a.example}'),
    'm.yaml:6: Trigger default/t: spec.subscriber: is {}, must have a ref or a uri',
    'm.yaml:8: Trigger default/t: spec.delivery.deadLetterSink.uri: is "ftp://a.example", must be an http or https URI, or relative to its ref',
  ],
  [
    'credentials in a URI, which are not repeated',
    trigger('  broker: b\n  subscriber: {uri: "http://alice:hunter2@a.example"}'),
    'm.yaml:6: Trigger default/t: spec.subscriber.uri: holds a user name or password; put them into a Secret and name it in sluice.dev/headers-from-secret',
  ],
  [
    'metadata',
    'apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata:\n  name: My_Broker\n  namespace: A\n  annotations: {a: 1}\n  nmae: x',
    'm.yaml:4: Broker A/My_Broker: metadata.name: is "My_Broker", must be a DNS name: at most 253 lower-case letters, digits, - and ., beginning and ending with a letter or digit',
    'm.yaml:5: Broker A/My_Broker: metadata.namespace: is "A", must be a DNS label: at most 63 lower-case letters, digits and -, beginning and ending with a letter or digit',
    'm.yaml:6: Broker A/My_Broker: metadata.annotations.a: is 1, must be a string: put it in quotes',
    'm.yaml:7: Broker A/My_Broker: metadata.nmae: unknown field; allowed: name, namespace, labels, annotations, uid, resourceVersion, generation, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, selfLink, managedFields, ownerReferences, finalizers, generateName, clusterName',
  ],
  [
    'annotations of ours',
    'apiVersion: messaging.knative.dev/v1\nkind: InMemoryChannel\nmetadata:\n  name: c\n  annotations:\n    sluice.dev/stream: disk\n    sluice.dev/max-bytes: 0\n    sluice.dev/dedup-windw: 5m',
    'm.yaml:6: InMemoryChannel default/c: metadata.annotations["sluice.dev/stream"]: is "disk", must be one of embedded, memory',
    'm.yaml:7: InMemoryChannel default/c: metadata.annotations["sluice.dev/max-bytes"]: is 0, must be a string: put it in quotes',
    'm.yaml:8: InMemoryChannel default/c: metadata.annotations["sluice.dev/dedup-windw"]: unknown annotation for InMemoryChannel; allowed: sluice.dev/stream, sluice.dev/retention, sluice.dev/max-bytes, sluice.dev/max-unsettled, sluice.dev/dedup-window, sluice.dev/max-event-bytes',
  ],
  [
    'two resources of one name',
    'kind: Broker\napiVersion: eventing.knative.dev/v1\nmetadata: {name: b}\n---\nkind: Broker\napiVersion: eventing.knative.dev/v1\nmetadata: {name: b, namespace: default}',
    'm.yaml:7: Broker default/b: metadata.name: Broker default/b stands at m.yaml:1 already; one of them must have another name',
  ],
  [
    'a version that was never served',
    'apiVersion: eventing.knative.dev/v2\nkind: Broker\nmetadata: {name: b}',
    'm.yaml:1: Broker: apiVersion: is "eventing.knative.dev/v2", must be one of eventing.knative.dev/v1, eventing.knative.dev/v1beta1, eventing.knative.dev/v1alpha1',
  ],
  [
    'what is no resource',
    'just text\n---\nkind: 5',
    'm.yaml:1: is "just text", must be an object with apiVersion, kind and metadata',
    'm.yaml:3: apiVersion: is missing, must be a string',
    'm.yaml:3: kind: is 5, must be a string',
  ],
  [
    'what is no YAML, beside a document that is',
    'a: [1\n---\napiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}\nspec: 5',
    'm.yaml:2: is no YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
    'm.yaml:6: Broker default/b: spec: is 5, must be an object',
  ],
  [
    'secrets, whose values are not shown',
    'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: "#hunter2"\nstringData:\n  b: 12345',
    'm.yaml:5: Secret default/s: data.a: must be base64; plain text belongs in stringData',
    'm.yaml:7: Secret default/s: stringData.b: must be a string: put it in quotes',
  ],
  [
    'a topic of Kafka on a Broker that is not of that class',
    'apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata:\n  name: b\n  annotations:\n    kafka.eventing.knative.dev/external.topic: orders',
    'm.yaml:6: Broker default/b: metadata.annotations["kafka.eventing.knative.dev/external.topic"]: stands on a Broker whose class is not Kafka; write eventing.knative.dev/broker.class: Kafka beside it, or take it away',
  ],
]

describe('every fault is told at once, with its line, the value and what is allowed', () => {
  test.for(rows)('%s', ([, yaml, ...faults]) => {
    expect(read(yaml).texts).toEqual(faults)
  })
})

test('an expression that does not parse is told with its column', () => {
  const { texts } = read(trigger(`  broker: b\n${subscriber}  filters:\n    - cesql: "type = "\n    - cel: "ce.type =="`))
  expect(texts.length).toBe(2)
  expect(texts[0]).toMatch(/^m\.yaml:8: Trigger default\/t: spec\.filters\[0\]\.cesql: is no CESQL: .*column \d+/)
  expect(texts[1]).toMatch(/^m\.yaml:9: Trigger default\/t: spec\.filters\[1\]\.cel: is no CEL: .*column \d+/)
})

describe('an image that nothing maps', () => {
  const service = (container: string): string => `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: s}
spec:
  template:
    spec:
      containers:
        - ${container}`

  test('is a fault that says how to map it', () => {
    expect(read(service('image: registry.example.com/shown:v1'), { images: [] }).texts).toEqual([
      'm.yaml:8: Service default/s: spec.template.spec.containers[0].image: the image registry.example.com/shown:v1 has no command here; give the container a command, or map the image with --images FILE, a list such as - {image: "registry.example.com/shown:v1", command: [node, server.js]}',
    ])
  })
  test('is none where Services run elsewhere, or the container says what to run', () => {
    expect(read(service('image: registry.example.com/shown:v1'), { images: [], processes: false }).texts).toEqual([])
    expect(read(service('{image: x, command: [node, a.js]}'), { images: [] }).texts).toEqual([])
  })
})

test('kinds of others are skipped with one line a kind', () => {
  const { texts, plan } = read(
    'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\napiVersion: apps/v1\nkind: Deployment\n---\napiVersion: v1\nkind: Service\nmetadata: {name: b}',
  )
  expect(texts).toEqual([])
  expect(plan.notices).toEqual([
    'm.yaml:1: apps/v1 Deployment is not served here, all 2 of them are skipped',
    'm.yaml:8: v1 Service is not served here, it is skipped',
  ])
})
