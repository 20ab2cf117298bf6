import { existsSync, readFileSync } from 'node:fs'
import { DECIDERS } from '../autoscaler/kits.ts'
import { createAsk, type Ask } from '../autoscaler/signals/ask.ts'
import { runAutoscaler, type Told } from '../autoscaler/signals/autoscaler.ts'
import { gatewaySignals, type GatewaySource } from '../autoscaler/signals/gateways.ts'
import { answerFrom, querySignals } from '../autoscaler/signals/prometheus.ts'
import { sampleFromMetrics, sampleFromSnapshot } from '../autoscaler/signals/reading.ts'
import { deploymentScaler, gatewayScaler, NOBODY, webhookScaler, type Scaler } from '../autoscaler/signals/scalers.ts'
import type { Signals } from '../autoscaler/signals/signals.ts'
import type { Key } from '../contract/ids.ts'
import type { Plan, ServicePlan } from '../contract/plan.ts'
import { annotation } from '../resources/annotations.ts'
import { faultOf } from '../resources/faults.ts'
import { loadPaths } from '../resources/load.ts'
import { planFrom } from '../resources/plan.ts'
import { systemClock } from '../runtime/clock.ts'
import { Fault, messageOf } from '../runtime/errors.ts'
import { createLog, stderrSink } from '../runtime/log.ts'
import { Secret } from '../runtime/secret.ts'
import { durationMsFrom, type Command, type Parsed } from './command.ts'

/** Where a pod of a cluster finds who it is. */
const CLUSTER = '/var/run/secrets/kubernetes.io/serviceaccount'
const LEAST_INTERVAL_MS = 100
const GATEWAY_INTERVAL = '500ms'
const PROMETHEUS_INTERVAL = '5s'
const LEAST_SILENT_MS = 10_000

export const autoscale: Command = {
  name: 'autoscale',
  about:
    'Decides for the Services of the manifests by what gateways or Prometheus say, and scales a Deployment, a webhook or the\n' +
    'process pods of a gateway; without one of these it only prints. Prints one line of JSON a change. A gateway or Prometheus\nthat goes silent holds the size: it may grow, it never shrinks on missing data.',
  usage: '-f PATH… (--gateway URL… | --prometheus URL)',
  options: {
    file: { type: 'list', short: 'f', value: 'PATH', about: 'manifests with the Services: class, bounds, targets' },
    gateway: { type: 'list', value: 'URL', about: 'admin address of a gateway, or its /metrics; several are added up' },
    prometheus: { type: 'string', value: 'URL', about: 'ask Prometheus instead, once a Service' },
    query: {
      type: 'string',
      value: 'PROMQL',
      about: 'gives slots wanted; $namespace and $service stand for the Service; sluice.dev/query wins',
    },
    policy: { type: 'string', value: 'xpa|kpa|hpa', about: 'decide all Services by this, whatever their class' },
    interval: {
      type: 'string',
      value: 'TIME',
      about: `between two looks (default ${GATEWAY_INTERVAL}, Prometheus ${PROMETHEUS_INTERVAL})`,
    },
    silent: { type: 'string', value: 'TIME', about: 'no news for so long is silence (default three intervals, at least 10 s)' },
    kubernetes: { type: 'string', value: 'URL', about: 'scale Deployments through this API server' },
    webhook: { type: 'string', value: 'URL', about: 'POST {service, desired, reason} there' },
    pods: { type: 'boolean', about: 'scale the process pods of the gateway; its own decider takes over again when this ends' },
    'token-file': { type: 'string', value: 'FILE', about: 'bearer token of gateway, Prometheus or webhook' },
    'kubernetes-token-file': {
      type: 'string',
      value: 'FILE',
      about: 'bearer token of the API server',
      default: `${CLUSTER}/token`,
    },
    'ca-file': { type: 'string', value: 'FILE', about: "PEM bundle; the cluster's own where there is one" },
  },
  run: runAutoscale,
}

async function runAutoscale(args: Parsed): Promise<number> {
  const plan = planOf(args)
  const sink = stderrSink()
  const log = createLog(sink, 'info', () => systemClock.wall())
  const byQuery = args.text('prometheus') !== ''
  const everyMs = durationMsFrom(args.text('interval') || (byQuery ? PROMETHEUS_INTERVAL : GATEWAY_INTERVAL), 'interval')
  if (everyMs < LEAST_INTERVAL_MS)
    throw new Fault('config.usage', `--interval is ${everyMs} ms; it must be at least ${LEAST_INTERVAL_MS} ms`)
  const silentMs =
    args.text('silent') === '' ? Math.max(LEAST_SILENT_MS, 3 * everyMs) : durationMsFrom(args.text('silent'), 'silent')
  const ca = readOptional(args.text('ca-file'), 'ca-file')
  const ask = createAsk({ token: tokenIn(args.text('token-file'), 'token-file'), ca, timeoutMs: Math.max(1_000, silentMs / 2) })
  const scaler = scalerOf(args, plan, ask, ca)
  const autoscaler = runAutoscaler({
    services: servicesOf(args, plan),
    signals: signalsOf(args, plan, ask, silentMs),
    scaler,
    everyMs,
    clock: systemClock,
    log,
    tell,
  })
  process.stdout.write(JSON.stringify({ event: 'ready', pid: process.pid, services: plan.services.length }) + '\n')
  await new Promise<void>((stop) => process.once('SIGTERM', stop).once('SIGINT', stop))
  await autoscaler.close()
  sink.flushNow()
  return 0
}

function tell({ service, ...told }: Told): void {
  const line = { at: new Date(systemClock.wall()).toISOString(), service: service.slice('service/'.length), ...told }
  process.stdout.write(JSON.stringify(line) + '\n')
}

function planOf(args: Parsed): Plan {
  const paths = args.list('file')
  if (paths.length === 0)
    throw new Fault('config.usage', 'autoscale needs the manifests of the Services: -f FILE, -f FOLDER or -f -')
  const loaded = loadPaths(paths, paths.includes('-') ? readFileSync(0, 'utf8') : '')
  const settings = { domain: '', images: [], self: [], processes: false, generation: 1 }
  const { plan, faults } = planFrom(loaded.documents, settings)
  if (loaded.faults.length + faults.length > 0) throw faultOf([...loaded.faults, ...faults])
  if (plan.services.length === 0) throw new Fault('config.usage', 'the manifests have no Service: there is nothing to scale')
  return plan
}

function servicesOf(args: Parsed, plan: Plan): Parameters<typeof runAutoscaler>[0]['services'] {
  const policy = args.text('policy')
  if (policy !== '' && !Object.hasOwn(DECIDERS, policy))
    throw new Fault('config.usage', `--policy is "${policy}"; it must be one of ${Object.keys(DECIDERS).join(', ')}`)
  return plan.services.map(({ key, scale }: ServicePlan) => ({
    key,
    spec: scale,
    kit: DECIDERS[policy === '' ? scale.class : (policy as ServicePlan['scale']['class'])],
  }))
}

function signalsOf(args: Parsed, plan: Plan, ask: Ask, silentMs: number): Signals {
  const gateways = args.list('gateway')
  const prometheus = args.text('prometheus')
  if (gateways.length > 0 === (prometheus !== ''))
    throw new Fault(
      'config.usage',
      'autoscale listens to gateways (--gateway URL, may be repeated) or to Prometheus (--prometheus URL)',
    )
  if (prometheus === '')
    return gatewaySignals(
      gateways.map((g) => sourceOf(urlFrom(g, 'gateway'), ask)),
      silentMs,
      systemClock,
    )
  const base = urlFrom(prometheus, 'prometheus')
  const query = async (text: string, signal: AbortSignal): Promise<ReturnType<typeof answerFrom>> =>
    answerFrom(await ask(`${base}/api/v1/query?query=${encodeURIComponent(text)}`, {}, signal))
  return querySignals(queriesOf(args.text('query'), plan), query, silentMs, systemClock)
}

function queriesOf(general: string, plan: Plan): Map<Key, string> {
  const written = annotationsOf(plan, 'sluice.dev/query')
  return new Map(
    plan.services.map(({ key, namespace, name }) => {
      const text = written.get(key) ?? general
      if (text === '')
        throw new Fault(
          'config.usage',
          `nothing says what to ask Prometheus for ${namespace}/${name}: give --query or the annotation sluice.dev/query`,
        )
      return [key, text.replaceAll('$namespace', () => namespace).replaceAll('$service', () => name)]
    }),
  )
}

function annotationsOf(plan: Plan, name: 'sluice.dev/query' | 'sluice.dev/deployment'): Map<Key, string> {
  const found = new Map<Key, string>()
  for (const view of plan.resources) {
    const text = annotation(view.annotations, name)
    if (text !== undefined) found.set(view.key, text)
  }
  return found
}

function sourceOf(url: string, ask: Ask): GatewaySource {
  if (!url.endsWith('/metrics'))
    return { url, ask: async (signal) => sampleFromSnapshot(await ask(`${url}/api/v1/snapshot`, {}, signal)) }
  return { url, ask: async (signal) => sampleFromMetrics(String(await ask(url, {}, signal))) }
}

function scalerOf(args: Parsed, plan: Plan, ask: Ask, ca: string): Scaler {
  const wanted = ['kubernetes', 'webhook'].filter((o) => args.text(o) !== '').concat(args.flag('pods') ? ['pods'] : [])
  if (wanted.length > 1) throw new Fault('config.usage', `--${wanted.join(' and --')} are given; one of them can scale`)
  const gateways = args.list('gateway')
  switch (wanted[0]) {
    case undefined:
      return NOBODY
    case 'webhook':
      return webhookScaler(urlFrom(args.text('webhook'), 'webhook'), ask)
    case 'pods':
      // Each gateway has pods of its own: a sum over several says nothing of what one of them should have.
      if (gateways.length !== 1) throw new Fault('config.usage', `--pods needs one --gateway, there are ${gateways.length}`)
      return gatewayScaler(urlFrom(gateways[0] ?? '', 'gateway').replace(/\/metrics$/, ''), ask)
    default: {
      const file = args.text('kubernetes-token-file')
      const own = `${CLUSTER}/ca.crt`
      const clusterCa = ca === '' && existsSync(own) ? readFileSync(own, 'utf8') : ca
      // Without a token it may be a proxy on this machine (`kubectl proxy`).
      const token = file === `${CLUSTER}/token` && !existsSync(file) ? () => null : tokenIn(file, 'kubernetes-token-file')
      const api = createAsk({ token, ca: clusterCa, timeoutMs: 10_000 })
      return deploymentScaler(urlFrom(args.text('kubernetes'), 'kubernetes'), annotationsOf(plan, 'sluice.dev/deployment'), api)
    }
  }
}

function urlFrom(text: string, option: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new Fault('config.usage', `--${option} is "${text}"; it must be a URL such as http://127.0.0.1:9090`)
  return text.replace(/\/+$/, '')
}

function readOptional(file: string, option: string): string {
  if (file === '') return ''
  try {
    return readFileSync(file, 'utf8')
  } catch (e) {
    throw new Fault('config.usage', `cannot read --${option}: ${messageOf(e)}`, e)
  }
}

/** Read anew at each call: tokens of a cluster are renewed in place. What cannot be read later on stays what it was. */
function tokenIn(file: string, option: string): () => Secret | null {
  if (file === '') return () => null
  let last = new Secret(readOptional(file, option).trim())
  let readMs = systemClock.now()
  return () => {
    if (systemClock.now() - readMs < TOKEN_EVERY_MS) return last
    readMs = systemClock.now()
    if (existsSync(file)) last = new Secret(readOptional(file, option).trim())
    return last
  }
}

const TOKEN_EVERY_MS = 60_000
