import type { Feed, ReplayEnd, Source, SourceStatus, Start } from '../contract/feed.ts'
import type { Key, SubId } from '../contract/ids.ts'
import type { Observer } from '../contract/observer.ts'
import type { Plan, SourcePlan, StreamPlan, SubscriptionPlan, TargetPlan } from '../contract/plan.ts'
import type { Stream } from '../contract/stream.ts'
import type { Origin } from '../contract/target.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Sender } from '../sender/sender.ts'
import type { Services } from '../services/services.ts'
import type { Custody } from '../store/custody.ts'
import { Descendants } from '../subscription/descendants.ts'
import type { DeliveryMachine, Seat } from '../subscription/machine.ts'
import type { RunningSpec } from '../subscription/route.ts'
import { difference, same } from './difference.ts'
import type { IdTables } from './id-table.ts'
import { createTarget, type RunningTarget } from './targets.ts'

/** How to open each kind of stream and source; assembled in gateway.ts. */
export interface Openers {
  stream(id: number, plan: StreamPlan): Promise<Stream>
  source(plan: SourcePlan): Promise<Source>
}

export interface EngineParts {
  readonly ids: IdTables
  readonly clock: Clock
  readonly log: Log
  readonly observer: Observer
  readonly machine: DeliveryMachine
  readonly services: Services
  readonly sender: Sender
  readonly custody: Custody
  /** Subscriptions that begin paused; none unless said. */
  readonly paused?: (key: Key) => boolean
  readonly openers: Openers
  /** Name of this gateway in `Sluice-Hop`. */
  readonly hopId: string
  /** Host name of a Service, for the Host header of attempts. */
  readonly serviceHost: (key: Key, tag: string) => string
}

export interface RunningStream {
  readonly plan: StreamPlan
  readonly stream: Stream
  readonly seat: Seat
  readonly feed: Feed
  readonly stop: AbortController
}

export interface RunningSource {
  readonly plan: SourcePlan
  readonly source: Source
  readonly seat: Seat
  readonly feed: Feed
  readonly stop: AbortController
}

export interface RunningSubscription {
  readonly id: SubId
  plan: SubscriptionPlan
  readonly seat: Seat
  readonly feed: Feed
}

/** Applies plans: what is equal in two of them goes on untouched, what differs is restarted, what is gone stops. */
export interface Engine {
  apply(plan: Plan): Promise<void>
  plan(): Plan | null
  readonly streams: ReadonlyMap<Key, RunningStream>
  readonly sources: ReadonlyMap<Key, RunningSource>
  readonly subscriptions: ReadonlyMap<Key, RunningSubscription>
  readonly replays: ReadonlyMap<Key, RunningSubscription>
  readonly targets: ReadonlyMap<Key, RunningTarget>
  sourceStatus(key: Key): SourceStatus | undefined
  /** A target for an address that is in no plan; its user closes it. */
  targetFor(uri: string): RunningTarget
  /** Forgets a removed subscription's position and what it held; false = nothing was left of it. */
  forget(key: Key): boolean
  /** A second, temporary reader for a subscription that runs. */
  addReplay(id: SubId, key: Key, plan: SubscriptionPlan, from: Start, end: ReplayEnd): void
  /** `forget` deletes its position. */
  endReplay(key: Key, forget: boolean): Promise<void>
  /** Feeds stop; attempts end or are handed back; streams are flushed and closed. */
  close(signal: AbortSignal): Promise<void>
}

export function createEngine(parts: EngineParts): Engine {
  const { ids, machine, services, log } = parts
  const streams = new Map<Key, RunningStream>()
  const sources = new Map<Key, RunningSource>()
  const subscriptions = new Map<Key, RunningSubscription>()
  const targets = new Map<Key, RunningTarget>()
  const replays = new Map<Key, RunningSubscription>()
  const origins = new Map<string, Origin>()
  const descendants = new Descendants()
  /** Removed, but attempts of theirs still run. */
  const leaving = new Map<Key, { readonly origin: Key; readonly gone: Promise<void> }>()
  let current: Plan | null = null

  const openStream = async (plan: StreamPlan): Promise<void> => {
    const seat = machine.seat(plan.key)
    const stop = new AbortController()
    const stream = await parts.openers.stream(ids.streams.of(plan.key), plan)
    const feed = stream.open(seat.intake, stop.signal)
    seat.bind(feed)
    streams.set(plan.key, { plan, stream, seat, feed, stop })
  }

  const closeStream = async (key: Key, signal: AbortSignal): Promise<void> => {
    const running = streams.get(key)
    if (running === undefined) return
    streams.delete(key)
    running.stop.abort()
    await running.stream.close(signal)
  }

  const openSource = async (plan: SourcePlan): Promise<void> => {
    const seat = machine.seat(plan.key)
    const stop = new AbortController()
    const source = await parts.openers.source(plan)
    const inner = source.open(seat.intake, stop.signal)
    const feed = parts.custody.wrap(inner, seat.intake, (sub) => ids.sub(sub))
    seat.bind(feed)
    sources.set(plan.key, { plan, source, seat, feed, stop })
  }

  const closeSource = async (key: Key, signal: AbortSignal): Promise<void> => {
    const running = sources.get(key)
    if (running === undefined) return
    sources.delete(key)
    await running.source.close(signal)
    running.stop.abort()
  }

  const specOf = (plan: SubscriptionPlan): RunningSpec => {
    const find = (key: Key | null): RunningTarget | null => (key === null ? null : (targets.get(key) ?? null))
    const isOwnStream = (key: Key | null): boolean => {
      const target = current?.targets.find((t) => t.key === key)
      return target?.kind === 'stream' && target.stream === originOf(plan)
    }
    return {
      plan,
      target: find(plan.target),
      reply: find(plan.reply),
      deadLetter: find(plan.deadLetter),
      replyIsOwnStream: isOwnStream(plan.reply),
      deadLetterIsOwnStream: isOwnStream(plan.deadLetter),
    }
  }

  const addSubscription = (plan: SubscriptionPlan): void => {
    const from = 'stream' in plan.from ? streams.get(plan.from.stream) : sources.get(plan.from.source)
    if (from === undefined) {
      log.error('a subscription reads from something that is not open', { subscription: plan.key })
      return
    }
    const id = ids.subs.of(plan.key)
    machine.add(id, from.seat, specOf(plan))
    // Before its feed offers the first event.
    if (parts.paused?.(plan.key) === true) machine.pause(id)
    subscriptions.set(plan.key, { id, plan, seat: from.seat, feed: from.feed })
    from.feed.attach(id, plan.key, plan.start, plan.order)
  }

  const endReplay = async (key: Key, forget: boolean): Promise<void> => {
    const running = replays.get(key)
    if (running === undefined) return
    replays.delete(key)
    await machine.remove(running.id)
    running.feed.detach(running.id, forget)
  }

  const replaysOf = (key: Key): [Key, RunningSubscription][] => [...replays].filter(([, r]) => r.plan.key === key)

  const removeSubscription = async (key: Key): Promise<void> => {
    const running = subscriptions.get(key)
    if (running === undefined) return
    subscriptions.delete(key)
    await Promise.all(replaysOf(key).map(([replay]) => endReplay(replay, false)))
    await machine.remove(running.id, false)
    running.feed.detach(running.id, false)
  }

  const makeTarget = (plan: TargetPlan): RunningTarget =>
    createTarget(ids.targets.of(plan.key), plan, {
      clock: parts.clock,
      sender: parts.sender,
      services,
      origins,
      hopId: parts.hopId,
      descendants,
      target: (key) => targets.get(key),
      stream: (key) => streams.get(key)?.stream,
      serviceHost: parts.serviceHost,
    })

  const applyTargets = (before: readonly TargetPlan[], after: readonly TargetPlan[]): void => {
    const { added, changed } = difference(before, after)
    for (const plan of [...added, ...changed]) {
      const old = targets.get(plan.key)
      targets.set(plan.key, makeTarget(plan))
      // Whoever waits at the old one is refused and asks again, at the new one by then.
      if (old !== undefined) parts.clock.soon(() => old.close())
    }
  }

  /** Attempts of a removed subscription may run for minutes: the rest of the plan does not wait for them. */
  const leaveInTheBackground = (key: Key): void => {
    const running = subscriptions.get(key)
    if (running === undefined) return
    const gone = removeSubscription(key).finally(() => leaving.delete(key))
    leaving.set(key, { origin: originOf(running.plan), gone })
  }

  const allGone = async (): Promise<void> => {
    await Promise.all([...leaving.values()].map((l) => l.gone))
  }

  /** Reads from elsewhere, or in another order where the feed's own system has to know: it is attached anew. */
  const hasMoved = (s: SubscriptionPlan): boolean => {
    const running = subscriptions.get(s.key)
    if (running === undefined) return false
    return originOf(running.plan) !== originOf(s) || (running.plan.order !== s.order && running.feed.can.lease)
  }

  /** All of them or, with the reason of the first that failed, none. */
  const openNew = async (plans: readonly StreamPlan[]): Promise<void> => {
    const opened = await Promise.allSettled(plans.map(openStream))
    const failed = opened.find((o) => o.status === 'rejected')
    if (failed === undefined) return
    await Promise.all(plans.map((s) => closeStream(s.key, new AbortController().signal)))
    throw failed.reason
  }

  const apply = async (plan: Plan): Promise<void> => {
    const old: Pick<Plan, 'streams' | 'sources' | 'subscriptions' | 'targets' | 'services'> = current ?? EMPTY
    const signal = new AbortController().signal
    const streamDiff = difference(old.streams, plan.streams)
    const sourceDiff = difference(old.sources, plan.sources)
    const subDiff = difference(old.subscriptions, plan.subscriptions)
    const reopened = new Set([...streamDiff.changed, ...sourceDiff.changed].map((item) => item.key))

    // What can fail comes first, while everything still runs as it did.
    await openNew(streamDiff.added)
    current = plan

    // Subscriptions next: nothing may be offered to one whose stream is about to close.
    const closing = new Set([...streamDiff.removed, ...sourceDiff.removed].map((item) => item.key))
    for (const s of subDiff.removed) if (!closing.has(originOf(s))) leaveInTheBackground(s.key)
    const stopping = [
      ...subDiff.removed.filter((s) => closing.has(originOf(s))).map((s) => s.key),
      ...plan.subscriptions.filter((s) => reopened.has(originOf(s)) || hasMoved(s)).map((s) => s.key),
    ]
    const pending = [...leaving].filter(([, l]) => closing.has(l.origin) || reopened.has(l.origin)).map(([, l]) => l.gone)
    await Promise.all([...stopping.map(removeSubscription), ...pending])
    await Promise.all([...sourceDiff.removed, ...sourceDiff.changed].map((s) => closeSource(s.key, signal)))
    await Promise.all([...streamDiff.removed, ...streamDiff.changed].map((s) => closeStream(s.key, signal)))

    for (const service of plan.services) services.apply(ids.services.of(service.key), service)
    await Promise.all(streamDiff.changed.map(openStream))
    applyTargets(old.targets, plan.targets)
    await Promise.all([...sourceDiff.added, ...sourceDiff.changed].map(openSource))
    const changedTargets = new Set(difference(old.targets, plan.targets).changed.map((t) => t.key))
    for (const subscription of plan.subscriptions) {
      const running = subscriptions.get(subscription.key)
      // It may be on its way out since an earlier change.
      if (running === undefined) await leaving.get(subscription.key)?.gone
      if (running === undefined) addSubscription(subscription)
      else if (!same(running.plan, subscription) || touches(subscription, changedTargets)) {
        running.plan = subscription
        machine.update(running.id, specOf(subscription))
        for (const [key, replay] of replaysOf(subscription.key)) {
          replay.plan = subscription
          machine.update(replay.id, specOf({ ...subscription, key }))
        }
      }
    }
    const kept = new Set(plan.targets.map((t) => t.key))
    for (const [key, target] of targets) {
      if (kept.has(key)) continue
      targets.delete(key)
      void allGone().then(() => target.close())
    }
    const wanted = new Set(plan.services.map((s) => s.key))
    const unwanted = old.services.filter((s) => !wanted.has(s.key))
    // Everything of the new plan runs by now; pods stay until the last answer and the last reply of those that left.
    if (unwanted.length > 0) await allGone()
    await Promise.all(unwanted.map((s) => services.remove(s.key)))
  }

  return {
    apply,
    plan: () => current,
    streams,
    sources,
    subscriptions,
    replays,
    targets,
    sourceStatus: (key) => sources.get(key)?.source.status(),
    targetFor: (uri) =>
      makeTarget({ kind: 'uri', key: uri, uri, host: '', caCerts: '', limits: { maxConcurrency: 0, ratePerS: 0 } }),
    forget(key) {
      // Every feed is asked: a subscription may have moved from one broker to another in its life.
      return [...streams.values(), ...sources.values()].map((s) => s.feed.forget(key)).some((known) => known)
    },
    addReplay(id, key, plan, from, end) {
      const live = subscriptions.get(plan.key)
      if (live?.feed.replays === undefined) return
      machine.add(id, live.seat, specOf({ ...plan, key }))
      replays.set(key, { id, plan, seat: live.seat, feed: live.feed })
      live.feed.replays.attach(id, key, from, end, plan.key)
    },
    endReplay,
    async close(signal) {
      await machine.drain(signal)
      await allGone()
      await Promise.all([...sources.keys()].map((key) => closeSource(key, signal)))
      await Promise.all([...streams.keys()].map((key) => closeStream(key, signal)))
      for (const target of targets.values()) target.close()
    },
  }
}

const EMPTY = { streams: [], sources: [], subscriptions: [], targets: [], services: [] }

function originOf(s: SubscriptionPlan): Key {
  return 'stream' in s.from ? s.from.stream : s.from.source
}

function touches(s: SubscriptionPlan, keys: ReadonlySet<Key>): boolean {
  return [s.target, s.reply, s.deadLetter].some((key) => key !== null && keys.has(key))
}
