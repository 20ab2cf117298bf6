import { join } from 'node:path'
import { DECIDERS } from '../autoscaler/kits.ts'
import type { Observer } from '../contract/observer.ts'
import type { Plan } from '../contract/plan.ts'
import { createCallbackDesk } from '../engine/callback-desk.ts'
import { createEngine, type Engine } from '../engine/engine.ts'
import type { IdTables } from '../engine/id-table.ts'
import { openPaused, type Paused } from '../engine/paused.ts'
import { tracedSender } from '../engine/traced.ts'
import { budgetBytes, createBudget } from '../flow/budget.ts'
import { derivedUid } from '../resources/kind.ts'
import { createSender, type Sender } from '../sender/sender.ts'
import { openProcessPods } from '../services/process-pods.ts'
import { createServices, type Services } from '../services/services.ts'
import { openCustody, type Custody } from '../store/custody.ts'
import { openLeases } from '../store/leases.ts'
import { createDeliveryMachine, type DeliveryMachine } from '../subscription/machine.ts'
import { openersFor } from './openers.ts'
import type { GatewayParts, GatewaySettings } from './settings.ts'
import type { Watchers } from './watchers.ts'

/** What events walk through, from the stream to the pod. */
export interface EventPath {
  readonly sender: Sender
  readonly services: Services
  readonly custody: Custody
  readonly leases: ReturnType<typeof openLeases>
  readonly callbacks: ReturnType<typeof createCallbackDesk>
  readonly machine: DeliveryMachine
  readonly engine: Engine
  readonly paused: Paused
}

/** Proxied requests that may wait for a credit, per revision. */
const QUEUED_REQUESTS = 10_000

/** Opens the layers of the path, each on those before it. `dataUrl` is asked when a callback URL is made. */
export async function openEventPath(
  settings: GatewaySettings,
  parts: GatewayParts,
  o: { readonly ids: IdTables; readonly watchers: Watchers; readonly hopId: string; readonly dataUrl: () => string },
): Promise<EventPath> {
  const { clock, random, log, onFatal } = parts
  const { ids, hopId } = o
  const { observer, tracing } = o.watchers
  const { dataDir, dataPersistent } = settings

  // Memory is promised once, for lanes, gates, appends and replies together.
  const budget = createBudget(budgetBytes(settings.memoryLimitBytes))

  // Out: attempts leave through one sender, so that equal origins share connections.
  const plainSender = createSender({ clock })
  const sender = tracing === null ? plainSender : tracedSender(plainSender, tracing)

  // Pods and their gates come before the machine, which only ever asks a gate.
  const services = servicesOf(settings, parts, observer)

  // What waits long or is given up, for sources that cannot keep it themselves.
  const custody = await openCustody({ dir: join(dataDir, 'custody'), persistent: dataPersistent, clock, log, onFatal })

  // Subscribers may answer later, also after a restart: the leases and the key of their URLs are in the data folder.
  const leases = openLeases(join(dataDir, 'leases.log'), clock, log)
  const callbacks = createCallbackDesk({
    keyFile: join(dataDir, 'callback.key'),
    leases,
    clock,
    machine: () => machine,
    baseUrl: () => settings.self.find((url) => /^https?:/.test(url)) ?? o.dataUrl(),
  })

  // The machine sits between feeds and targets and knows neither kind.
  const calls = { newToken: (): string => callbacks.newToken(), callbackUrl: (token: string): string => callbacks.urlOf(token) }
  const machine: DeliveryMachine = createDeliveryMachine({ clock, random, log, observer, budget, leases, ...calls })

  // What people paused is so from the first event on.
  const paused = openPaused(join(dataDir, 'paused.json'), log)

  // The engine holds what runs and applies the difference of two plans.
  const uidOf = (key: string): string => uidIn(engine.plan(), key)
  const openers = openersFor(parts, { dataDir, observer, budget, custody, uidOf })
  const hostOf = (key: string, tag: string): string => serviceHost(engine.plan(), key, tag)
  const engine: Engine = createEngine({
    ids,
    clock,
    log,
    observer,
    machine,
    services,
    sender,
    custody,
    paused: (key) => paused.has(key),
    hopId,
    serviceHost: hostOf,
    openers,
  })
  return { sender, services, custody, leases, callbacks, machine, engine, paused }
}

function servicesOf(settings: GatewaySettings, { clock, log }: GatewayParts, observer: Observer): Services {
  return createServices({
    clock,
    log,
    observer,
    pods: openProcessPods({ clock, log, dataDir: settings.dataDir, inherited: settings.inherited }),
    deciders: DECIDERS,
    maxQueuedRequests: QUEUED_REQUESTS,
    graceMs: settings.graceMs,
  })
}

/** The uid that Knative's dispatcher knows a subscription by. */
function uidIn(plan: Plan | null, key: string): string {
  const known = plan?.childUids?.[key] ?? plan?.resources.find((r) => r.key === key)?.uid
  // A Subscription that is gone had this one, unless an API server gave it another.
  return known ?? (key.startsWith('subscription/') ? derivedUid(key) : '')
}

/** The first host route of a Service, which is the name it was given under the domain. */
function serviceHost(plan: Plan | null, key: string, tag: string): string {
  const route = plan?.routes.find((r) => r.to.kind === 'service' && r.to.service === key && r.to.tag === tag && r.host !== '')
  return route?.host ?? ''
}
