import type { FoundReplay, ReplayEnd, ReplayFeed, Start } from '../contract/feed.ts'
import type { Key } from '../contract/ids.ts'
import type { Clock } from '../runtime/clock.ts'
import { Fault } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { DeliveryMachine } from '../subscription/machine.ts'
import type { Engine, RunningSubscription } from './engine.ts'
import type { IdTables } from './id-table.ts'
import type { Paused } from './paused.ts'
import { readList, writeList } from './remembered.ts'

export interface ReplaysParts {
  readonly engine: Engine
  readonly machine: DeliveryMachine
  readonly ids: IdTables
  readonly clock: Clock
  readonly log: Log
  /** What a person has paused stays so when its replay has ended. */
  readonly paused: Paused
  /** Where running replays are remembered, so that a restart goes on with them. */
  readonly file: string
}

/** One replay as `get` shows it. */
export interface ReplayState {
  readonly replay: Key
  readonly until: ReplayEnd
  readonly unread: number
  readonly delivered: number
  readonly waiting: number
}

/** Second, temporary readers: from a point to the head of now, with a position and counters of their own. */
export interface Replays {
  start(key: Key, from: Start): Promise<{ readonly events: number }>
  /** Goes on with what an earlier process, or a plan before this one, left unfinished. After every plan that was applied. */
  pickUp(): void
  of(key: Key): readonly ReplayState[]
  /** The live reader of an ordered subscription waits for its replay. */
  holds(key: Key): boolean
  /** Ends and forgets the replays of a subscription that is purged. */
  forget(key: Key): void
}

/** A replay as it is remembered. `through`: read to its end, only its seat may still be there. */
interface Remembered {
  readonly replay: Key
  readonly subscription: Key
  readonly from: Start
  readonly until: ReplayEnd
  readonly through: boolean
}

/** How often a replay is asked whether it is through. */
const LOOK_MS = 200
/** How often streams are asked what other gateways began. */
const FIND_MS = 1_000

export function createReplays(parts: ReplaysParts): Replays {
  const { engine, machine, ids, clock, log } = parts
  const known = new Map<Key, Remembered>(readRemembered(parts.file, log).map((r) => [r.replay, r]))
  /** Live ordered subscriptions that wait until their replay is through. */
  const waiting = new Set<Key>()

  /** Names that are being settled. */
  const naming = new Set<Key>()

  const remember = (): void => writeList(parts.file, [...known.values()])
  const running = (r: Remembered): RunningSubscription | undefined => engine.replays.get(r.replay)

  const begin = (r: Remembered, start: Start): void => {
    const live = engine.subscriptions.get(r.subscription)
    if (live?.feed.replays === undefined) return
    const id = ids.subs.of(r.replay)
    // Two readers of an ordered one would mix old and new: the live one waits.
    if (live.plan.order === 'ordered') {
      waiting.add(r.subscription)
      machine.pause(live.id)
    }
    engine.addReplay(id, r.replay, live.plan, start, r.until)
    const look = clock.every(LOOK_MS, () => {
      // Its stream was closed for a change: `pickUp` begins again.
      if (running(r)?.feed !== live.feed) return look.cancel()
      if (machine.state(id).waiting > 0 || live.feed.replays?.through(id) === false) return
      look.cancel()
      end(r, id)
    })
  }

  /** Another gateway began it, and has told whoever reads parts of the same stream. */
  const join = ({ key, of, end }: FoundReplay): void => {
    if (known.has(key) || !engine.subscriptions.has(of)) return
    const r: Remembered = { replay: key, subscription: of, from: { at: 'latest' }, until: end, through: false }
    known.set(key, r)
    remember()
    begin(r, { at: 'committed', otherwise: r.from })
    log.info('a replay was begun at another gateway; its part here is read', { subscription: of })
  }

  const find = (): void => {
    for (const { feed } of engine.streams.values()) for (const found of feed.replays?.found?.() ?? []) join(found)
  }
  clock.every(FIND_MS, find)

  const end = (r: Remembered, id: number): void => {
    const { delivered, parked } = machine.state(id)
    // Remembered as through before its seat goes: a restart in between must not read everything again.
    known.set(r.replay, { ...r, through: true })
    remember()
    void engine.endReplay(r.replay, true).then(() => {
      drop(r.replay)
      letGo(r.subscription)
      log.info('a replay has ended', { subscription: r.subscription, delivered, parked })
    })
  }

  /** The first free name, with beginning and end settled under it. */
  const name = async (replays: ReplayFeed, key: Key, from: Start): Promise<{ replay: Key; until: ReplayEnd; events: number }> => {
    for (let serial = 1; ; serial++) {
      const replay = `${key}~replay-${serial}`
      if (known.has(replay) || naming.has(replay)) continue
      naming.add(replay)
      const begun = await replays.begin(replay, key, from).finally(() => naming.delete(replay))
      if (begun !== null) return { replay, until: begun.end, events: begun.events }
    }
  }

  const drop = (replay: Key): void => {
    known.delete(replay)
    remember()
  }

  const letGo = (subscription: Key): void => {
    if ([...known.values()].some((r) => r.subscription === subscription) || !waiting.delete(subscription)) return
    const live = engine.subscriptions.get(subscription)
    if (live !== undefined && !parts.paused.has(subscription)) machine.resume(live.id)
  }

  return {
    async start(key, from) {
      const live = engine.subscriptions.get(key)
      if (live === undefined) throw new Fault('admin.refused', `there is no subscription ${key}`)
      const { replays } = live.feed
      if (replays === undefined) throw new Fault('admin.refused', `${key} cannot have a second reader`)
      const { replay, until, events } = await name(replays, key, from)
      const r: Remembered = { replay, subscription: key, from, until, through: false }
      known.set(replay, r)
      remember()
      begin(r, from)
      log.info('a replay begins', { subscription: key, events })
      return { events }
    },
    pickUp() {
      for (const r of known.values()) {
        const live = engine.subscriptions.get(r.subscription)
        if (live === undefined || running(r) !== undefined) continue
        if (r.through || live.feed.replays?.holds(r.until) !== true) {
          engine.forget(r.replay)
          drop(r.replay)
        } else {
          begin(r, { at: 'committed', otherwise: r.from })
          log.info('a replay goes on', { subscription: r.subscription })
        }
      }
    },
    of: (key) =>
      [...known.values()].flatMap((r) => {
        const reader = r.subscription === key ? running(r) : undefined
        if (reader === undefined) return []
        const { delivered, waiting } = machine.state(reader.id)
        return [{ replay: r.replay, until: r.until, unread: reader.feed.backlog(reader.id).events, delivered, waiting }]
      }),
    holds: (key) => waiting.has(key),
    forget(key) {
      for (const r of known.values()) {
        if (r.subscription !== key) continue
        engine.forget(r.replay)
        drop(r.replay)
      }
    },
  }
}

function readRemembered(file: string, log: Log): readonly Remembered[] {
  const list = readList(file, log, 'the list of running replays cannot be read; they do not go on')
  // Earlier versions kept the end as a number.
  return (list as (Omit<Remembered, 'until'> & { until: ReplayEnd | number })[]).map((r) => ({ ...r, until: String(r.until) }))
}
