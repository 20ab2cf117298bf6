/** Manifests of flows for tests. */

export const step = (name: string, delivery?: unknown): unknown => ({
  ...(to(name) as object),
  ...(delivery === undefined ? {} : { delivery }),
})

/** A sink: the name of a Service, `Kind/name`, or a URL. */
export function to(sink: string): unknown {
  if (sink.startsWith('http')) return { uri: sink }
  const [kind = '', name] = sink.split('/')
  return { ref: name === undefined ? ref('Service', kind) : ref(kind, name) }
}

const GROUPS: Readonly<Record<string, string>> = {
  Service: 'serving.knative.dev/v1',
  Broker: 'eventing.knative.dev/v1',
  Sequence: 'flows.knative.dev/v1',
  Parallel: 'flows.knative.dev/v1',
}

export const ref = (kind: string, name: string): unknown => ({
  apiVersion: GROUPS[kind] ?? 'messaging.knative.dev/v1',
  kind,
  name,
})

const resource = (apiVersion: string, kind: string, name: string, spec: unknown, annotations = {}): unknown => ({
  apiVersion,
  kind,
  metadata: { name, annotations },
  spec,
})

export const sequence = (name: string, steps: readonly unknown[], reply?: string, annotations = {}): unknown =>
  resource('flows.knative.dev/v1', 'Sequence', name, { steps, ...(reply === undefined ? {} : { reply: to(reply) }) }, annotations)

export const parallel = (name: string, branches: readonly unknown[], reply?: string, annotations = {}): unknown =>
  resource(
    'flows.knative.dev/v1',
    'Parallel',
    name,
    { branches, ...(reply === undefined ? {} : { reply: to(reply) }) },
    annotations,
  )

export const channel = (name: string, kind = 'InMemoryChannel', annotations = {}): unknown =>
  resource('messaging.knative.dev/v1', kind, name, {}, annotations)

export const subscription = (name: string, from: string, spec: Readonly<Record<string, unknown>>, annotations = {}): unknown =>
  resource(
    'messaging.knative.dev/v1',
    'Subscription',
    name,
    { channel: ref(from.split('/')[0] ?? '', from.split('/')[1] ?? ''), ...spec },
    annotations,
  )
