import { parse } from 'yaml'
import { messageOf } from '../runtime/errors.ts'
import { type AutoscalerConfig, AUTOSCALER_DEFAULTS, readAutoscalerConfig } from './autoscaler-config.ts'
import { type DeliverySpec, DELIVERY } from './fields.ts'
import { type ChannelWanted, complainIn, readTemplate } from './channel-template.ts'
import type { Path } from './faults.ts'
import { faultsOf, mustBe, sentence } from './issues.ts'
import { isObject } from './load.ts'
import type { Complain } from './resource.ts'
import { parseWhole } from './quantities.ts'

/** What Knative's own ConfigMaps say, with Knative's defaults where they are not given. */
export interface KnativeConfig {
  readonly autoscaler: AutoscalerConfig
  readonly service: ServiceDefaults
  readonly brokers: BrokerDefaults
  readonly channels: ChannelDefaults
  /** Flags of config-features as they are written. */
  readonly features: Readonly<Record<string, string>>
  /** config-domain, most demanding selector first. */
  readonly domains: readonly { readonly domain: string; readonly selector: Readonly<Record<string, string>> }[]
}

/** `config-defaults` of serving. */
export interface ServiceDefaults {
  readonly timeoutSeconds: number
  readonly mostTimeoutSeconds: number
  readonly containerConcurrency: number
  readonly mostContainerConcurrency: number
}

/** `default-ch-webhook` of eventing: the kind of channels that name none. */
export interface ChannelDefaults {
  readonly cluster: ChannelWanted | undefined
  readonly namespaces: ReadonlyMap<string, ChannelWanted>
}

/** `config-br-defaults` of eventing. */
export interface BrokerDefaults {
  readonly cluster: BrokerDefault
  readonly namespaces: ReadonlyMap<string, BrokerDefault>
}
export interface BrokerDefault {
  /** '' = MTChannelBasedBroker. */
  readonly brokerClass: string
  /** undefined = 10 × exponential PT0.2S. */
  readonly delivery: DeliverySpec | undefined
  /** The ConfigMap of Brokers that name none, undefined = not said. */
  readonly config?:
    | { readonly apiVersion: string; readonly kind: string; readonly namespace: string; readonly name: string }
    | undefined
  /** `brokerClasses`: what is different for Brokers of these classes. */
  readonly classes: ReadonlyMap<string, BrokerDefault>
}

export interface ConfigSource {
  readonly data: Readonly<Record<string, string>>
  readonly complain: Complain
}

const SERVICE_DEFAULTS: ServiceDefaults = {
  timeoutSeconds: 300,
  mostTimeoutSeconds: 600,
  containerConcurrency: 0,
  mostContainerConcurrency: 1000,
}

/** `find` gives the ConfigMap of that name where one was given. Faults are written to the ConfigMap they are in. */
export function readConfig(find: (name: string) => ConfigSource | undefined): KnativeConfig {
  const autoscaler = find('config-autoscaler')
  const service = find('config-defaults')
  const brokers = find('config-br-defaults')
  const channels = find('default-ch-webhook')
  const domain = find('config-domain')
  return {
    autoscaler: autoscaler === undefined ? AUTOSCALER_DEFAULTS : readAutoscalerConfig(autoscaler.data, autoscaler.complain),
    service: service === undefined ? SERVICE_DEFAULTS : readServiceDefaults(service),
    brokers: brokers === undefined ? NO_BROKER_DEFAULTS : readBrokerDefaults(brokers),
    channels: channels === undefined ? NO_CHANNEL_DEFAULTS : readChannelDefaults(channels),
    features: find('config-features')?.data ?? {},
    domains: domain === undefined ? [] : readDomains(domain),
  }
}

const NO_CHANNEL_DEFAULTS: ChannelDefaults = { cluster: undefined, namespaces: new Map() }
const NO_BROKER_DEFAULTS: BrokerDefaults = {
  cluster: { brokerClass: '', delivery: undefined, classes: new Map() },
  namespaces: new Map(),
}

function readServiceDefaults({ data, complain }: ConfigSource): ServiceDefaults {
  const whole = (key: string, otherwise: number, least: number): number => {
    const text = data[key]
    if (text === undefined) return otherwise
    const n = parseWhole(text)
    if (n !== undefined && n >= least && n <= 1e9) return n
    complain(['data', key], sentence(`must be a whole number of at least ${least}`, text))
    return otherwise
  }
  const d = {
    timeoutSeconds: whole('revision-timeout-seconds', SERVICE_DEFAULTS.timeoutSeconds, 1),
    mostTimeoutSeconds: whole('max-revision-timeout-seconds', SERVICE_DEFAULTS.mostTimeoutSeconds, 1),
    containerConcurrency: whole('container-concurrency', SERVICE_DEFAULTS.containerConcurrency, 0),
    mostContainerConcurrency: whole('container-concurrency-max-limit', SERVICE_DEFAULTS.mostContainerConcurrency, 1),
  }
  if (d.timeoutSeconds > d.mostTimeoutSeconds) {
    const limit = `max-revision-timeout-seconds (${d.mostTimeoutSeconds})`
    complain(['data', 'revision-timeout-seconds'], `is ${d.timeoutSeconds}, must be at most ${limit}`)
  }
  if (d.containerConcurrency > d.mostContainerConcurrency) {
    const limit = `container-concurrency-max-limit (${d.mostContainerConcurrency})`
    complain(['data', 'container-concurrency'], `is ${d.containerConcurrency}, must be at most ${limit}`)
  }
  return d
}

function readChannelDefaults({ data, complain }: ConfigSource): ChannelDefaults {
  const at = ['data', 'default-ch-config']
  const value = readDefaults(data['default-ch-config'], at, complain)
  if (value === undefined) return NO_CHANNEL_DEFAULTS
  const inText = complainIn(complain, at)
  const one = (template: unknown, where: Path): ChannelWanted | undefined =>
    template === undefined ? undefined : (readTemplate(template, where, inText) ?? undefined)
  const namespaces = isObject(value['namespaceDefaults']) ? value['namespaceDefaults'] : {}
  const read = Object.entries(namespaces).map(([ns, template]) => [ns, one(template, ['namespaceDefaults', ns])] as const)
  return {
    cluster: one(value['clusterDefault'], ['clusterDefault']),
    namespaces: new Map(read.filter((entry): entry is [string, ChannelWanted] => entry[1] !== undefined)),
  }
}

/** `clusterDefault` and `namespaceDefaults` as a ConfigMap has them in a text. */
function readDefaults(text: string | undefined, at: Path, complain: Complain): Readonly<Record<string, unknown>> | undefined {
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = parse(text) as unknown
  } catch (e) {
    complain(at, `is no YAML: ${messageOf(e).split('\n')[0]}`)
    return undefined
  }
  if (isObject(value)) return value
  complain(at, 'must be an object with clusterDefault and namespaceDefaults')
  return undefined
}

function readBrokerDefaults({ data, complain }: ConfigSource): BrokerDefaults {
  const at = ['data', 'default-br-config']
  const value = readDefaults(data['default-br-config'], at, complain)
  if (value === undefined) return NO_BROKER_DEFAULTS
  const one = (d: unknown, where: string): BrokerDefault => {
    if (!isObject(d)) {
      if (d !== undefined) complain(at, `${where} must be an object`)
      return NO_BROKER_DEFAULTS.cluster
    }
    const brokerClass = typeof d['brokerClass'] === 'string' ? d['brokerClass'] : ''
    const { name, namespace } = d
    const text = (field: string, otherwise: string): string => (typeof d[field] === 'string' ? d[field] : otherwise)
    const from = { apiVersion: text('apiVersion', 'v1'), kind: text('kind', 'ConfigMap') }
    const config = typeof name === 'string' && typeof namespace === 'string' ? { ...from, namespace, name } : undefined
    const named = Object.entries(isObject(d['brokerClasses']) ? d['brokerClasses'] : {})
    const classes = new Map(named.map(([name, c]) => [name, one(c ?? {}, `${where}.brokerClasses.${name}`)]))
    if (d['delivery'] === undefined) return { brokerClass, delivery: undefined, config, classes }
    const parsed = DELIVERY.safeParse(d['delivery'], { error: mustBe })
    if (parsed.success) return { brokerClass, delivery: parsed.data, config, classes }
    for (const f of faultsOf(parsed.error.issues, d['delivery'], DELIVERY, false)) {
      complain(at, `${where}.delivery.${f.path.join('.')} ${f.message}`)
    }
    return { brokerClass, delivery: undefined, config, classes }
  }
  const namespaces = isObject(value['namespaceDefaults']) ? value['namespaceDefaults'] : {}
  return {
    cluster: one(value['clusterDefault'], 'clusterDefault'),
    namespaces: new Map(Object.entries(namespaces).map(([ns, d]) => [ns, one(d, `namespaceDefaults.${ns}`)])),
  }
}

/** Each key is a domain, its value a selector in YAML; without one it is the domain of all that no other claims. */
function readDomains({ data, complain }: ConfigSource): KnativeConfig['domains'] {
  const out: { domain: string; selector: Readonly<Record<string, string>> }[] = []
  for (const [domain, text] of Object.entries(data)) {
    if (domain === '_example') continue
    try {
      const value = parse(text) as unknown
      const selector = isObject(value) && isObject(value['selector']) ? value['selector'] : {}
      out.push({
        domain: domain.toLowerCase(),
        selector: Object.fromEntries(Object.entries(selector).map(([k, v]) => [k, String(v)])),
      })
    } catch (e) {
      complain(['data', domain], `is no YAML: ${messageOf(e).split('\n')[0]}`)
    }
  }
  return out.sort((a, b) => Object.keys(b.selector).length - Object.keys(a.selector).length || (a.domain < b.domain ? -1 : 1))
}

/** The domain a Service of these labels is reached under. `--domain` wins, as somebody typed it just now. */
export function domainFor(config: KnativeConfig, wanted: string, labels: Readonly<Record<string, string>>): string {
  if (wanted !== '') return wanted.toLowerCase()
  const match = config.domains.find((d) => Object.entries(d.selector).every(([k, v]) => labels[k] === v))
  return match?.domain ?? 'example.com'
}
