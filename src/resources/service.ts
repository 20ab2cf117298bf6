import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { ProcessPlan, ServicePlan } from '../contract/plan.ts'
import { Secret } from '../runtime/secret.ts'
import { annotation, type Annotations, checkAnnotations, limitsOf } from './annotations.ts'
import { domainFor } from './config.ts'
import { type Container, CONTAINER } from './container.ts'
import type { Draft } from './draft.ts'
import { type Path, shown } from './faults.ts'
import { anything, dnsLabel, whole } from './fields.ts'
import { sentence, valueAt } from './issues.ts'
import { isObject } from './load.ts'
import { defineKind, version } from './kind.ts'
import { type Complain, type Resource, texts } from './resource.ts'
import { processPlan } from './process.ts'
import { type AnnotationPlace, scaleSpec, strictLimit } from './scale.ts'

export interface ServiceSpec {
  readonly template: Template
  readonly traffic: readonly Traffic[]
}
interface Template {
  readonly name: string
  readonly annotations: Annotations
  readonly labels: Readonly<Record<string, string>>
  /** undefined = the default of config-defaults. */
  readonly containerConcurrency: number | undefined
  readonly timeoutSeconds: number | undefined
  readonly containers: readonly Container[]
  /** The template as it was written, for the revision's name. */
  readonly written: unknown
}
type Traffic = ServicePlan['traffic'][number]

const MUST_BE_TEXT = 'must be a string: put it in quotes'
const textMap = z.record(z.string(), z.string(MUST_BE_TEXT))
const TEMPLATE = z.strictObject({
  metadata: z
    .strictObject({
      name: dnsLabel.optional(),
      namespace: anything.optional(),
      annotations: textMap.nullish(),
      labels: textMap.nullish(),
      creationTimestamp: anything.optional(),
    })
    .nullish(),
  spec: z.strictObject({
    containers: z.array(CONTAINER).min(1, 'must have a container'),
    containerConcurrency: whole(0, 2 ** 31 - 1).nullish(),
    timeoutSeconds: whole(0, 2 ** 31 - 1).nullish(),
    responseStartTimeoutSeconds: anything.optional(),
    idleTimeoutSeconds: anything.optional(),
    initContainers: anything.optional(),
    volumes: anything.optional(),
    serviceAccountName: anything.optional(),
    automountServiceAccountToken: anything.optional(),
    imagePullSecrets: anything.optional(),
    enableServiceLinks: anything.optional(),
    nodeSelector: anything.optional(),
    affinity: anything.optional(),
    tolerations: anything.optional(),
    topologySpreadConstraints: anything.optional(),
    priorityClassName: anything.optional(),
    runtimeClassName: anything.optional(),
    schedulerName: anything.optional(),
    securityContext: anything.optional(),
    hostAliases: anything.optional(),
    hostIPC: anything.optional(),
    hostNetwork: anything.optional(),
    hostPID: anything.optional(),
    dnsConfig: anything.optional(),
    dnsPolicy: anything.optional(),
    shareProcessNamespace: anything.optional(),
  }),
})
const TRAFFIC = z
  .strictObject({
    percent: whole(0, 100).nullish(),
    tag: dnsLabel.optional(),
    revisionName: z.string().min(1).optional(),
    latestRevision: z.boolean().nullish(),
    configurationName: anything.optional(),
    url: anything.optional(),
    appendHeaders: anything.optional(),
  })
  .superRefine((t, refine) => {
    if (t.revisionName !== undefined && t.latestRevision === true) {
      const message = 'is true beside a revisionName; one of the two is allowed'
      refine.addIssue({ code: 'custom', path: ['latestRevision'], message, input: t })
    } else if (t.revisionName === undefined && t.latestRevision === false) {
      const message = 'is false without a revisionName; name the revision'
      refine.addIssue({ code: 'custom', path: ['latestRevision'], message, input: t })
    }
  })
const ROUTES = z.array(TRAFFIC).superRefine((routes, refine) => {
  const sum = routes.reduce((n, t) => n + (t.percent ?? 0), 0)
  if (routes.length > 0 && sum !== 100) {
    refine.addIssue({ code: 'custom', message: `the percents make ${sum}, they must make 100`, input: routes })
  }
  const tags = new Set<string>()
  for (const [i, { tag }] of routes.entries()) {
    if (tag !== undefined && tags.has(tag)) {
      refine.addIssue({ code: 'custom', path: [i, 'tag'], message: `the tag ${tag} stands there twice`, input: tag })
    }
    if (tag !== undefined) tags.add(tag)
  }
})

const served = version(
  { spec: z.strictObject({ template: TEMPLATE, traffic: ROUTES.nullish(), rollout: anything.optional() }) },
  ({ spec }): ServiceSpec => ({
    template: {
      name: spec.template.metadata?.name ?? '',
      annotations: spec.template.metadata?.annotations ?? {},
      labels: spec.template.metadata?.labels ?? {},
      containerConcurrency: spec.template.spec.containerConcurrency ?? undefined,
      timeoutSeconds: spec.template.spec.timeoutSeconds ?? undefined,
      containers: spec.template.spec.containers,
      written: spec.template,
    },
    traffic: (spec.traffic ?? []).map((t) => ({ revision: t.revisionName ?? '', percent: t.percent ?? 0, tag: t.tag ?? '' })),
  }),
)

const TEMPLATE_ANNOTATIONS: Path = ['spec', 'template', 'metadata', 'annotations']
const FLOW_CLASS = 'networking.knative.dev/flow-controller.class'

/** Service: pods behind a gate, and the hosts that lead to them. */
export const service = defineKind<ServiceSpec>({
  kind: 'Service',
  plural: 'services',
  versions: { 'serving.knative.dev/v1': served, 'serving.knative.dev/v1beta1': served },
  inspect,
  address(r, draft) {
    const plan = servicePlan(r, draft)
    draft.service(r, plan)
    const domain = domainFor(draft.config, draft.settings.domain, r.labels)
    const inside = r.labels['networking.knative.dev/visibility'] === 'cluster-local'
    for (const tag of ['', ...plan.traffic.map((t) => t.tag).filter((t) => t !== '')]) {
      const name = tag === '' ? r.name : `${tag}-${r.name}`
      const to = { kind: 'service', service: r.key, tag } as const
      const hosts = [`${name}.${r.namespace}.svc.cluster.local`, `${name}.${r.namespace}.svc`]
      if (!inside) hosts.unshift(`${name}.${r.namespace}.${domain}`)
      for (const host of hosts) {
        if (!draft.route({ host, path: '', to }))
          r.complain(['metadata', 'name'], `its host ${host} belongs to another resource already`)
      }
    }
    const cluster = `http://${r.name}.${r.namespace}.svc.cluster.local`
    draft.addressable(r.key, inside ? cluster : `http://${r.name}.${r.namespace}.${domain}`, cluster)
  },
  view: ({ template: { written: _written, ...template }, traffic }) => ({ template, traffic }),
})

/** Annotations, and the numbers whose range depends on config-defaults: judged even when something else is wrong. */
function inspect(object: unknown, complain: Complain, draft: Draft): void {
  checkAnnotations('Service', valueAt(object, TEMPLATE_ANNOTATIONS), TEMPLATE_ANNOTATIONS, complain)
  const name = valueAt(object, ['metadata', 'name'])
  if (typeof name === 'string' && name.includes('.'))
    complain(['metadata', 'name'], `is ${shown(name)}, must not hold a dot: it is part of a host name`)
  const spec = valueAt(object, ['spec', 'template', 'spec'])
  const limits = draft.config.service
  const within = (field: string, most: number, key: string): number | undefined => {
    const value = isObject(spec) ? spec[field] : undefined
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) return undefined
    if (value <= most) return value
    complain(['spec', 'template', 'spec', field], sentence(`must be at most ${most} (${key} of config-defaults)`, value))
    return undefined
  }
  const hardLimit = within('containerConcurrency', limits.mostContainerConcurrency, 'container-concurrency-max-limit')
  within('timeoutSeconds', limits.mostTimeoutSeconds, 'max-revision-timeout-seconds')
  const places = placesOf(texts(valueAt(object, TEMPLATE_ANNOTATIONS)), texts(valueAt(object, ['metadata', 'annotations'])))
  scaleSpec(places, 0, hardLimit ?? limits.containerConcurrency, draft.config.autoscaler, complain)
}

/** Knative reads them from the template; people who write them on the Service mean the same. */
function placesOf(template: Annotations, own: Annotations): readonly AnnotationPlace[] {
  return [
    { annotations: template, path: TEMPLATE_ANNOTATIONS },
    { annotations: own, path: ['metadata', 'annotations'] },
  ]
}

function servicePlan(r: Resource<ServiceSpec>, draft: Draft): ServicePlan {
  const { template, traffic } = r.spec
  const defaults = draft.config.service
  const all = { ...r.annotations, ...template.annotations }
  const places = placesOf(template.annotations, r.annotations)
  const hardLimit = template.containerConcurrency ?? defaults.containerConcurrency
  const strict = annotation(all, FLOW_CLASS) === 'strict'
  const limit = hardLimit > 0 ? hardLimit : strict ? strictLimit(places, draft.config.autoscaler) : 0
  const process = draft.settings.processes ? processOf(r, draft) : null
  return {
    key: r.key,
    namespace: r.namespace,
    name: r.name,
    revision: revisionName(r, process),
    process,
    limit,
    timeoutMs:
      (template.timeoutSeconds === undefined || template.timeoutSeconds === 0
        ? defaults.timeoutSeconds
        : template.timeoutSeconds) * 1000,
    // Its faults were told by `inspect`.
    scale: scaleSpec(places, limit, hardLimit, draft.config.autoscaler, () => {}),
    limits: limitsOf(all),
    traffic: traffic.length === 0 ? [{ revision: '', percent: 100, tag: '' }] : traffic,
  }
}

/** Of several containers the one with a port is the service; side-cars have no place in a process pod. */
function processOf(r: Resource<ServiceSpec>, draft: Draft): ProcessPlan | null {
  const { containers } = r.spec.template
  const at: Path = ['spec', 'template', 'spec', 'containers']
  const withPort = containers.flatMap((c, i) => ((c.ports ?? []).length > 0 ? [i] : []))
  if (containers.length > 1 && withPort.length !== 1) {
    r.complain(
      at,
      `${withPort.length} of ${containers.length} containers have ports; exactly one must, the one that takes requests`,
    )
    return null
  }
  const index = containers.length > 1 ? (withPort[0] as number) : 0
  if (containers.length > 1) {
    const text = 'a process pod runs the container with the port only, the others are left out'
    draft.notice(`${r.place}: Service ${r.namespace}/${r.name}: ${text}`)
  }
  return processPlan(draft, r, containers[index] as Container, [...at, index])
}

/** Changes with everything in the template and with the environment that it resolves to, and with nothing else. */
function revisionName(r: Resource<ServiceSpec>, process: ProcessPlan | null): string {
  const { template } = r.spec
  if (template.name !== '') return template.name
  // A Secret shows itself as nothing but [secret]: its hash stands for it.
  const env = process?.env.map(([name, value]) => [name, value instanceof Secret ? sha256(value.reveal()) : value])
  const text = JSON.stringify([template.written, process, env], (_key, value: unknown) =>
    isObject(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value,
  )
  return `${r.name}-${sha256(text).slice(0, 8)}`
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
