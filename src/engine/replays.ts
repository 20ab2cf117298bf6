import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Position } from '../contract/delivery.ts'
import type { Start } from '../contract/feed.ts'
import type { Key } from '../contract/ids.ts'
import type { Clock } from '../runtime/clock.ts'
import { Fault, messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { DeliveryMachine } from '../subscription/machine.ts'
import type { Engine, RunningSubscription } from './engine.ts'
import type { IdTables } from './id-table.ts'

export interface ReplaysParts {
  readonly engine: Engine
  readonly machine: DeliveryMachine
  readonly ids: IdTables
  readonly clock: Clock
  readonly log: Log
  /** Where running replays are remembered, so that a restart goes on with them. */
  readonly file: string
}

/** One replay as `get` shows it. */
export interface ReplayState {
  readonly replay: Key
  readonly until: Position
  readonly unread: number
  readonly delivered: number
  readonly waiting: number
}

/** Second, temporary readers: from a point to the head of now, with a position and counters of their own. */
export interface Replays {
  start(key: Key, from: Start): { readonly events: number }
  /** Goes on with what an earlier process, or a plan before this one, left unfinished. After every plan that was applied. */
  pickUp(): void
  of(key: Key): readonly ReplayState[]
  /** Ends and forgets the replays of a subscription that is purged. */
  forget(key: Key): void
}

/** A replay as it is remembered. `through`: read to its end, only its seat may still be there. */
interface Remembered {
  readonly replay: Key
  readonly subscription: Key
  readonly from: Start
  readonly until: Position
  readonly through: boolean
}

/** How often a replay is asked whether it is through. */
const LOOK_MS = 200

export function createReplays(parts: ReplaysParts): Replays {
  const { engine, machine, ids, clock, log } = parts
  const known = new Map<Key, Remembered>(readRemembered(parts.file, log).map((r) => [r.replay, r]))
  /** Live ordered subscriptions that wait until their replay is through. */
  const waiting = new Set<Key>()

  const remember = (): void => writeRemembered(parts.file, [...known.values()])
  const running = (r: Remembered): RunningSubscription | undefined => engine.replays.get(r.replay)

  const begin = (r: Remembered, start: Start): number => {
    const live = engine.subscriptions.get(r.subscription)
    if (live?.feed.replays === undefined) return 0
    const id = ids.subs.of(r.replay)
    // Two readers of an ordered one would mix old and new: the live one waits.
    if (live.plan.order === 'ordered' && !machine.state(live.id).paused) {
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
    return live.feed.backlog(id).events
  }

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

  const drop = (replay: Key): void => {
    known.delete(replay)
    remember()
  }

  const letGo = (subscription: Key): void => {
    if ([...known.values()].some((r) => r.subscription === subscription) || !waiting.delete(subscription)) return
    const live = engine.subscriptions.get(subscription)
    if (live !== undefined) machine.resume(live.id)
  }

  return {
    start(key, from) {
      const live = engine.subscriptions.get(key)
      if (live === undefined) throw new Fault('admin.refused', `there is no subscription ${key}`)
      if (live.feed.replays === undefined) {
        throw new Fault(
          'admin.refused',
          `${key} cannot be replayed: its system gives a subscription one position; set the offsets of its group back instead`,
        )
      }
      let serial = 1
      while (known.has(`${key}~replay-${serial}`)) serial++
      const until = live.feed.replays.head()
      const r: Remembered = { replay: `${key}~replay-${serial}`, subscription: key, from, until, through: false }
      known.set(r.replay, r)
      remember()
      const events = begin(r, from)
      log.info('a replay begins', { subscription: key, events })
      return { events }
    },
    pickUp() {
      for (const r of known.values()) {
        const live = engine.subscriptions.get(r.subscription)
        if (live === undefined || running(r) !== undefined) continue
        // A stream in memory forgot its history with its process.
        if (r.through || live.feed.replays === undefined || live.feed.replays.head() < r.until) {
          engine.forget(r.replay)
          drop(r.replay)
        } else {
          const events = begin(r, { at: 'committed', otherwise: r.from })
          log.info('a replay goes on', { subscription: r.subscription, events })
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
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return []
  }
  try {
    return JSON.parse(text) as Remembered[]
  } catch (e) {
    log.warn('the list of running replays cannot be read; they do not go on', { file, error: messageOf(e) })
    return []
  }
}

/** Written beside and renamed, so that a crash leaves the old list or the new one. */
function writeRemembered(file: string, all: readonly Remembered[]): void {
  writeFileSync(`${file}.new`, JSON.stringify(all), { mode: 0o600 })
  renameSync(`${file}.new`, file)
}
