import { join } from 'node:path'
import type { Plan } from './contract/plan.ts'
import { connectBacklogs } from './engine/backlog.ts'
import { demandView } from './engine/demand-view.ts'
import { destinationOf } from './engine/destinations.ts'
import type { Engine } from './engine/engine.ts'
import { createHand } from './engine/hand.ts'
import { eventTypesOf, watchedStreams } from './engine/event-types.ts'
import { createIdTables } from './engine/id-table.ts'
import { createOperations } from './engine/operations.ts'
import { createRedeliver } from './engine/redeliver.ts'
import { createReplays, type Replays } from './engine/replays.ts'
import { takeSnapshot } from './engine/snapshot.ts'
import { tracedDestination } from './engine/traced.ts'
import { createWatch } from './engine/watch.ts'
import { openEventPath, type EventPath } from './gateway/event-path.ts'
import { createManifests } from './gateway/manifests.ts'
import type { GatewayParts, GatewaySettings } from './gateway/settings.ts'
import { openWatchers, type Watchers } from './gateway/watchers.ts'
import type { Destination } from './ingress/destination.ts'
import { DEFAULT_LIMITS, NO_INGRESS, openIngress, type Ingress } from './ingress/ingress.ts'
import { Routes } from './ingress/routes.ts'
import { adminToken, isLoopback, refuseOpenKeda, unusable } from './observe/access.ts'
import { openAdmin } from './observe/admin.ts'
import { CONSOLE_PAGE } from './observe/console/page.ts'
import { eventTypesRoute } from './observe/event-types.ts'
import { openKeda } from './observe/keda/open.ts'
import type { Operations } from './observe/operations.ts'
import { watchRoutes } from './observe/watch.ts'
import { faultOf, faultText } from './resources/faults.ts'
import { watchProcess } from './runtime/machine.ts'
import { randomId } from './runtime/random.ts'
import type { Secret } from './runtime/secret.ts'
import { lockDataFolder } from './store/data-folder.ts'

export interface Gateway {
  readonly url: string
  readonly adminUrl: string
  /** `host:port` of KEDA's external scaler, '' = none. */
  readonly kedaAddress: string
  reload(): Promise<Reloaded>
  /** Stops taking, finishes or hands back what runs within the grace, closes everything. */
  stop(): Promise<void>
}

interface Reloaded {
  readonly generation: number
  readonly faults: readonly string[]
}

/** Builds the gateway layer by layer, from what everything stands on to what lets the first event in. */
export async function startGateway(settings: GatewaySettings, parts: GatewayParts): Promise<Gateway> {
  const { clock, log } = parts
  const state = { ready: false }

  // What is wrong with the manifests is said before anything is opened.
  const manifests = createManifests(settings)
  const first = manifests.read()
  if (first.faults.length > 0) throw faultOf(first.faults)
  const token = adminToken(settings)
  if (settings.keda !== null) refuseOpenKeda(settings.keda.host, settings)

  // One gateway a data folder: two would give the same positions to different events.
  const lock = await lockDataFolder(settings.dataDir).catch((e: unknown) => unusable(settings.dataDir, e))

  // Observers see every arrow and are known to nobody.
  const ids = createIdTables()
  const watchers = await openWatchers(settings, parts, ids, (sub) => originOf(path.engine, sub))

  // The layers that events walk through.
  const hopId = randomId()
  const path: EventPath = await openEventPath(settings, parts, { ids, watchers, hopId, dataUrl: () => ingress.url })
  const { engine, machine, services } = path

  // What was being replayed when the last process ended goes on.
  const replays = createReplays({
    engine,
    machine,
    ids,
    clock,
    log,
    paused: path.paused,
    file: join(settings.dataDir, 'replays.json'),
  })

  // The data port listens before the plan is applied, so that its address is known to whoever tells it to a subscriber. Until
  // then it says 503: whoever is answered otherwise finds everything behind the answer in place.
  const routes = new Routes()
  const resolve = (host: string, at: string): Destination | undefined => (state.ready ? routes.resolve(host, at) : STARTING)
  const ingress = await openDataPort(settings, parts, { path, watchers, hopId, resolve })

  const apply = async (plan: Plan): Promise<void> => {
    for (const notice of plan.notices) log.info(notice)
    watchers.types.watch(watchedStreams(plan))
    await engine.apply(plan)
    replays.pickUp()
    connectBacklogs(plan, path)
    routes.set(plan.routes, (route) => {
      const to = destinationOf(route, { ...path, ids, clock })
      const { tracing } = watchers
      return to === undefined || tracing === null || !('owner' in route.to) ? to : tracedDestination(to, route.to.owner, tracing)
    })
  }
  await apply(first.plan)
  manifests.took(first)

  const reload = inTurn(async (): Promise<Reloaded> => {
    const next = manifests.read()
    const faults = next.faults.map(faultText)
    // Any fault leaves the running plan as it is.
    if (faults.length > 0) log.error('the manifests were not taken', { faults })
    else {
      await apply(next.plan)
      manifests.took(next)
      log.info('the manifests were taken', { generation: next.plan.generation })
    }
    return { generation: engine.plan()?.generation ?? 0, faults }
  })

  const about = { path, watchers, replays, reload, ready: () => state.ready, dataUrl: () => ingress.url }
  const admin = await openAdminPort(settings, parts, { path, watchers, operations: operationsOf(parts, about), token })
  const keda = settings.keda === null ? null : await openKeda(settings.keda, demandView(engine, machine, services), clock)
  state.ready = true

  const stop = async (): Promise<void> => {
    const grace = AbortSignal.timeout(settings.graceMs)
    await ingress.drain(grace)
    state.ready = false
    await engine.close(grace)
    await services.close(settings.graceMs)
    path.sender.close()
    await path.custody.close(grace)
    path.leases.close()
    watchers.types.close()
    await ingress.close()
    await admin.close()
    await keda?.close()
    await watchers.tracing?.close()
    await lock.release()
  }
  return { url: ingress.url, adminUrl: admin.url, kedaAddress: keda?.address ?? '', reload, stop }
}

/** Stands at every address until the first plan is applied. */
const STARTING: Destination = {
  kind: 'stream',
  id: NO_INGRESS,
  append: (_events, done) => done({ kind: 'unavailable', retryAfterMs: 1_000, why: 'the gateway is starting or stopping' }),
  maxEventBytes: 1 << 20,
  dedupWindowMs: 0,
}

/** One after another: a file that changes and somebody who asks may come at the same moment. */
function inTurn<T>(run: () => Promise<T>): () => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return () => {
    const done = last.then(run)
    last = done.catch(() => {})
    return done
  }
}

function openDataPort(
  settings: GatewaySettings,
  { clock, log }: GatewayParts,
  o: {
    readonly path: EventPath
    readonly watchers: Watchers
    readonly hopId: string
    readonly resolve: (host: string, path: string) => Destination | undefined
  },
): Promise<Ingress> {
  return openIngress({
    http: settings.http,
    host: settings.listen.host,
    port: settings.listen.port,
    resolve: o.resolve,
    proxy: (request, credit, sink) => o.path.sender.proxy(request, credit, sink),
    limits: DEFAULT_LIMITS,
    hopId: o.hopId,
    clock,
    log,
    observer: o.watchers.observer,
  })
}

function operationsOf(
  parts: GatewayParts,
  o: {
    readonly path: EventPath
    readonly watchers: Watchers
    readonly replays: Replays
    readonly reload: () => Promise<Reloaded>
    readonly ready: () => boolean
    readonly dataUrl: () => string
  },
): Operations {
  const { clock, log } = parts
  const { engine, machine, services } = o.path
  const readProcess = watchProcess()
  const snapshot = (): ReturnType<typeof takeSnapshot> => takeSnapshot(engine, machine, services)
  return createOperations({
    ...o.path,
    snapshot,
    readings: () => ({
      snapshot: snapshot(),
      recorded: o.watchers.recorder.copy(),
      process: { ...readProcess(), droppedLogLines: parts.droppedLogLines() },
    }),
    ready: o.ready,
    dataUrl: o.dataUrl,
    reload: o.reload,
    replays: o.replays,
    hand: createHand({ ...o.path, replays: o.replays, log }),
    redeliver: createRedeliver({ engine, machine, clock, targetFor: (uri) => engine.targetFor(uri) }),
    clock,
    log,
  })
}

function openAdminPort(
  settings: GatewaySettings,
  { clock, log }: GatewayParts,
  o: { readonly path: EventPath; readonly watchers: Watchers; readonly operations: Operations; readonly token: Secret },
): ReturnType<typeof openAdmin> {
  const { engine } = o.path
  const { journal, tails, types } = o.watchers
  return openAdmin({
    operations: o.operations,
    clock,
    log,
    host: settings.admin.host,
    port: settings.admin.port,
    token: o.token,
    readsNeedToken: !isLoopback(settings.admin.host) && !settings.adminInsecure,
    hosts: settings.adminHosts,
    page: CONSOLE_PAGE,
    more: [...watchRoutes(createWatch({ engine, journal, tails })), eventTypesRoute(() => eventTypesOf(engine.plan(), types))],
  })
}

/** The stream or source a subscription reads from; a replay reads where its subscription does. */
function originOf(engine: Engine, sub: string): string {
  const from = engine.subscriptions.get(sub.split('~')[0] ?? sub)?.plan.from
  if (from === undefined) return ''
  return 'stream' in from ? from.stream : from.source
}
