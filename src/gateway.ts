import { join } from 'node:path'
import { DECIDERS } from './autoscaler/kits.ts'
import type { Plan } from './contract/plan.ts'
import { createCallbackDesk } from './engine/callback-desk.ts'
import { demandView } from './engine/demand-view.ts'
import { createEngine, type Engine } from './engine/engine.ts'
import { destinationOf } from './engine/destinations.ts'
import { eventTypesOf, watchedStreams } from './engine/event-types.ts'
import { createIdTables } from './engine/id-table.ts'
import { createOperations } from './engine/operations.ts'
import { connectBacklogs } from './engine/backlog.ts'
import { createRedeliver } from './engine/redeliver.ts'
import { createReplays } from './engine/replays.ts'
import { takeSnapshot } from './engine/snapshot.ts'
import { tracedDestination, tracedSender } from './engine/traced.ts'
import { createWatch } from './engine/watch.ts'
import { budgetBytes, createBudget } from './flow/budget.ts'
import { DEFAULT_LIMITS, openIngress } from './ingress/ingress.ts'
import { Routes } from './ingress/routes.ts'
import { adminToken, isLoopback, refuseOpenKeda, unusable } from './observe/access.ts'
import { openAdmin } from './observe/admin.ts'
import { CONSOLE_PAGE } from './observe/console/page.ts'
import { createEventTypes, eventTypesRoute } from './observe/event-types.ts'
import { createJournal } from './observe/journal.ts'
import { loopWatch } from './observe/loops.ts'
import { openKeda } from './observe/keda/open.ts'
import { combineObservers, createRecorder } from './observe/recorder.ts'
import { loadPaths } from './resources/load.ts'
import { createTails } from './observe/tails.ts'
import { loadTracing } from './observe/tracing.ts'
import { watchRoutes } from './observe/watch.ts'
import { planFrom, type Planned } from './resources/plan.ts'
import { faultOf, faultText } from './resources/faults.ts'
import type { ImageMapping } from './resources/images.ts'
import type { Clock } from './runtime/clock.ts'
import type { Log } from './runtime/log.ts'
import { watchProcess } from './runtime/machine.ts'
import { randomId, type Random } from './runtime/random.ts'
import { createSender } from './sender/sender.ts'
import { openProcessPods } from './services/process-pods.ts'
import { createServices } from './services/services.ts'
import type { KafkaSettings } from './sources/kafka/settings.ts'
import type { RocketMqSettings } from './sources/rocketmq/settings.ts'
import { openCustody } from './store/custody.ts'
import { lockDataFolder } from './store/data-folder.ts'
import { openLeases } from './store/leases.ts'
import { openSmallFile } from './store/small-file.ts'
import { openEmbeddedStream } from './streams/embedded.ts'
import type { KafkaStreamSettings } from './streams/kafka/settings.ts'
import { createMemoryStream } from './streams/memory.ts'
import { createDeliveryMachine, type DeliveryMachine } from './subscription/machine.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

/** Everything a gateway is told at start; the command line makes one of these. */
export interface GatewaySettings {
  readonly paths: readonly string[]
  /** Text of `-f -`. */
  readonly stdin: string
  readonly listen: Address
  readonly admin: Address
  /** Where KEDA asks, null = nowhere. */
  readonly keda: Address | null
  readonly dataDir: string
  readonly domain: string
  readonly images: readonly ImageMapping[]
  readonly self: readonly string[]
  readonly graceMs: number
  readonly http: 'uws' | 'node'
  readonly processes: boolean
  /** Token file for an admin port that is not on loopback, '' = none. */
  readonly adminTokenFile: string
  readonly adminInsecure: boolean
  readonly adminHosts: readonly string[]
  readonly metricsDetail: boolean
  /** Spans are sent to the OTLP endpoint of the environment. */
  readonly traces: boolean
  readonly memoryLimitBytes: number
  readonly inherited: { readonly path: string; readonly home: string }
}

export interface GatewayParts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly droppedLogLines: () => number
  /** The store failed: nothing can be promised any more. */
  readonly onFatal: (why: Error) => void
}

export interface Gateway {
  readonly url: string
  readonly adminUrl: string
  /** `host:port` of KEDA's external scaler, '' = none. */
  readonly kedaAddress: string
  reload(): Promise<{ readonly generation: number; readonly faults: readonly string[] }>
  /** Stops taking, finishes or hands back what runs within the grace, closes everything. */
  stop(): Promise<void>
}

const QUEUED_REQUESTS = 10_000

/** Builds the gateway layer by layer, from what everything stands on to what lets the first event in. */
export async function startGateway(settings: GatewaySettings, parts: GatewayParts): Promise<Gateway> {
  const { clock, random, log } = parts
  const documents = (): Planned => {
    const loaded = loadPaths(settings.paths, settings.stdin)
    const planned = planFrom(loaded.documents, {
      domain: settings.domain,
      images: settings.images,
      self: [`${settings.listen.host}:${settings.listen.port}`, ...settings.self],
      processes: settings.processes,
      generation: ++generation,
      ...(running === null ? {} : { running }),
    })
    return { ...planned, faults: [...loaded.faults, ...planned.faults] }
  }
  // What the resources in force may not change while they live.
  let running: Planned['immutables'] | null = null
  let generation = 0
  let ready = false

  // What is wrong with the manifests is said before anything is opened.
  const first = documents()
  if (first.faults.length > 0) throw faultOf(first.faults)
  const token = adminToken(settings)
  if (settings.keda !== null) refuseOpenKeda(settings.keda.host, settings)

  // One gateway a data folder: two would give the same positions to different events.
  const lock = await lockDataFolder(settings.dataDir).catch((e: unknown) => unusable(settings.dataDir, e))

  // Observers see every arrow and are known to nobody.
  const ids = createIdTables()
  const recorder = createRecorder({
    names: ids,
    originOf: (sub) => originOf(engine, ids.sub(sub)),
    wall: () => clock.wall(),
    detail: settings.metricsDetail,
  })
  const journal = createJournal({ names: ids, clock })
  const tails = createTails({ names: ids, clock })
  const typesFile = openSmallFile(join(settings.dataDir, 'event-types.json'), log)
  const types = createEventTypes({ names: ids, clock, log, ...typesFile })
  const observer = combineObservers([
    recorder.observer,
    loopWatch(ids, clock, log),
    journal.observer,
    tails.observer,
    types.observer,
  ])

  // Memory is promised once, for lanes, gates, appends and replies together.
  const budget = createBudget(budgetBytes(settings.memoryLimitBytes))

  // Out: attempts leave through one sender, so that equal origins share connections.
  const hopId = randomId()
  const tracing = settings.traces ? await loadTracing((sub) => ids.sub(sub), clock, log) : null
  const plainSender = createSender({ clock })
  const sender = tracing === null ? plainSender : tracedSender(plainSender, tracing)

  // Pods and their gates come before the machine, which only ever asks a gate.
  const services = createServices({
    clock,
    log,
    observer,
    pods: openProcessPods({ clock, log, dataDir: settings.dataDir, inherited: settings.inherited }),
    deciders: DECIDERS,
    maxQueuedRequests: QUEUED_REQUESTS,
    graceMs: settings.graceMs,
  })

  // What waits long or is given up, for sources that cannot keep it themselves.
  const custody = await openCustody({ dir: join(settings.dataDir, 'custody'), clock, log, onFatal: parts.onFatal })

  // The machine sits between feeds and targets and knows neither kind.
  // Subscribers may answer later, also after a restart: the leases and the key of their URLs are in the data folder.
  const leases = openLeases(join(settings.dataDir, 'leases.log'), clock, log)
  const callbacks = createCallbackDesk({
    keyFile: join(settings.dataDir, 'callback.key'),
    leases,
    clock,
    machine: () => machine,
    baseUrl: () => settings.self.find((url) => /^https?:/.test(url)) ?? ingress.url,
  })
  const machine: DeliveryMachine = createDeliveryMachine({
    clock,
    random,
    log,
    observer,
    budget,
    leases,
    newToken: () => callbacks.newToken(),
    callbackUrl: (token) => callbacks.urlOf(token),
  })

  // The engine holds what runs and applies the difference of two plans.
  const engine = createEngine({
    ids,
    clock,
    log,
    observer,
    machine,
    services,
    sender,
    custody,
    hopId,
    serviceHost: (key, tag) => serviceHost(engine.plan(), key, tag),
    openers: {
      stream: async (id, plan) => {
        const common = { id, plan, clock, observer, log }
        if (plan.system === 'memory') return createMemoryStream(common)
        if (plan.system === 'kafka') {
          const { createKafkaStream } = await import('./streams/kafka/kafka-stream.ts')
          const uidOf = (key: string): string => engine.plan()?.resources.find((r) => r.key === key)?.uid ?? ''
          return createKafkaStream({
            ...common,
            settings: plan.settings as unknown as KafkaStreamSettings,
            random,
            custody,
            uidOf,
          })
        }
        const dir = join(settings.dataDir, 'streams', fileName(plan.key))
        return openEmbeddedStream({ ...common, budget, dir, onFatal: parts.onFatal })
      },
      // The clients take three quarters of a second to load: only who reads from such a system waits for it.
      source: async (plan) => {
        if (plan.system === 'rocketmq') {
          const { createRocketMqSource } = await import('./sources/rocketmq/source.ts')
          return createRocketMqSource({ plan, settings: plan.settings as unknown as RocketMqSettings, clock, random, log })
        }
        const { createKafkaSource } = await import('./sources/kafka/source.ts')
        return createKafkaSource({ plan, settings: plan.settings as unknown as KafkaSettings, clock, random, log, observer })
      },
    },
  })

  // What was being replayed when the last process ended goes on.
  const replays = createReplays({ engine, machine, ids, clock, log, file: join(settings.dataDir, 'replays.json') })

  const routes = new Routes()
  const apply = async (plan: Plan): Promise<void> => {
    for (const notice of plan.notices) log.info(notice)
    types.watch(watchedStreams(plan))
    await engine.apply(plan)
    replays.pickUp()
    connectBacklogs(plan, { engine, machine, services })
    routes.set(plan.routes, (route) => {
      const to = destinationOf(route, { engine, services, ids, clock, callbacks })
      return to === undefined || tracing === null || !('owner' in route.to) ? to : tracedDestination(to, route.to.owner, tracing)
    })
  }
  await apply(first.plan)
  running = first.immutables

  const reloadNow = async (): Promise<{ generation: number; faults: readonly string[] }> => {
    const next = documents()
    if (next.faults.length > 0) {
      // Any fault leaves the running plan as it is.
      log.error('the manifests were not taken', { faults: next.faults.map(faultText) })
      return { generation: engine.plan()?.generation ?? 0, faults: next.faults.map(faultText) }
    }
    await apply(next.plan)
    running = next.immutables
    log.info('the manifests were taken', { generation: next.plan.generation })
    return { generation: next.plan.generation, faults: [] }
  }
  // One after another: a file that changes and somebody who asks may come at the same moment.
  let reloading: Promise<unknown> = Promise.resolve()
  const reload = (): ReturnType<typeof reloadNow> => {
    const done = reloading.then(reloadNow)
    reloading = done.catch(() => {})
    return done
  }

  // The ports last: whoever is answered finds everything behind the answer in place.
  const readProcess = watchProcess()
  const operations = createOperations({
    engine,
    machine,
    services,
    custody,
    snapshot: () => takeSnapshot(engine, machine, services),
    readings: () => ({
      snapshot: takeSnapshot(engine, machine, services),
      recorded: recorder.copy(),
      process: { ...readProcess(), droppedLogLines: parts.droppedLogLines() },
    }),
    ready: () => ready,
    dataUrl: () => ingress.url,
    reload,
    replays,
    redeliver: createRedeliver({ engine, machine, clock, targetFor: (uri) => engine.targetFor(uri) }),
    clock,
    log,
  })
  const ingress = await openIngress({
    http: settings.http,
    host: settings.listen.host,
    port: settings.listen.port,
    resolve: (host, path) => routes.resolve(host, path),
    proxy: (request, credit, sink) => sender.proxy(request, credit, sink),
    limits: DEFAULT_LIMITS,
    hopId,
    clock,
    log,
    observer,
  })
  const admin = await openAdmin({
    operations,
    clock,
    log,
    host: settings.admin.host,
    port: settings.admin.port,
    token,
    readsNeedToken: !isLoopback(settings.admin.host) && !settings.adminInsecure,
    hosts: settings.adminHosts,
    page: CONSOLE_PAGE,
    more: [...watchRoutes(createWatch({ engine, journal, tails })), eventTypesRoute(() => eventTypesOf(engine.plan(), types))],
  })
  const keda = settings.keda === null ? null : await openKeda(settings.keda, demandView(engine, machine, services), clock)
  ready = true

  return {
    url: ingress.url,
    adminUrl: admin.url,
    kedaAddress: keda?.address ?? '',
    reload,
    async stop() {
      ready = false
      const grace = AbortSignal.timeout(settings.graceMs)
      await ingress.drain(grace)
      await engine.close(grace)
      await services.close(settings.graceMs)
      sender.close()
      await custody.close(grace)
      leases.close()
      types.close()
      await ingress.close()
      await admin.close()
      await keda?.close()
      await tracing?.close()
      await lock.release()
    },
  }
}

/** The stream or source a subscription reads from; a replay reads where its subscription does. */
function originOf(engine: Engine, sub: string): string {
  const from = engine.subscriptions.get(sub.split('~')[0] ?? sub)?.plan.from
  if (from === undefined) return ''
  return 'stream' in from ? from.stream : from.source
}

/** The first host route of a Service, which is the name it was given under the domain. */
function serviceHost(plan: Plan | null, key: string, tag: string): string {
  const route = plan?.routes.find((r) => r.to.kind === 'service' && r.to.service === key && r.to.tag === tag && r.host !== '')
  return route?.host ?? ''
}

/** A key as a folder name: no separators, nothing hidden, never two keys in one folder. */
function fileName(key: string): string {
  return encodeURIComponent(key).replaceAll('.', '%2E')
}
