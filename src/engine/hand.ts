import type { Start } from '../contract/feed.ts'
import type { Key } from '../contract/ids.ts'
import type { SourcePlan, StreamPlan } from '../contract/plan.ts'
import type { PauseAnswer, ReplayAnswer } from '../observe/operations.ts'
import { Fault } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { DeliveryMachine } from '../subscription/machine.ts'
import type { Engine, RunningSubscription } from './engine.ts'
import type { Paused } from './paused.ts'
import type { Replays } from './replays.ts'

export interface HandParts {
  readonly engine: Engine
  readonly machine: DeliveryMachine
  readonly replays: Replays
  readonly paused: Paused
  readonly log: Log
}

/** A person's hand on the position of a subscription: it stops, goes on, reads again. Faults say why not. */
export interface Hand {
  pause(key: Key): PauseAnswer
  resume(key: Key): PauseAnswer
  /** `rewind`: the live position is set back; otherwise a second reader goes beside it. */
  replay(key: Key, from: Start, rewind: boolean): Promise<ReplayAnswer>
  /** Drops what is unread. */
  skip(key: Key): Promise<{ readonly events: number }>
  /** Unread and waiting, undefined = nobody paused it. */
  pausedWith(key: Key): { readonly events: number } | undefined
}

const SYSTEMS: Readonly<Record<StreamPlan['system'] | SourcePlan['system'], string>> = {
  embedded: 'the embedded stream',
  memory: 'a stream in memory',
  kafka: 'Kafka',
  nats: 'NATS JetStream',
  rabbitmq: 'RabbitMQ',
  rocketmq: 'RocketMQ',
  ping: 'a timer',
}

export function createHand(parts: HandParts): Hand {
  const { engine, machine, replays, paused, log } = parts
  const unread = ({ id, feed }: RunningSubscription): number => feed.backlog(id).events + machine.state(id).waiting
  const answer = (running: readonly RunningSubscription[]): PauseAnswer => ({
    subscriptions: running.map((s) => s.plan.key),
    events: running.reduce((sum, s) => sum + unread(s), 0),
  })
  return {
    pause(key) {
      const running = runningOf(engine, key)
      // Remembered first: a crash in between must not let it go on.
      paused.add(running.map((s) => s.plan.key))
      for (const s of running) machine.pause(s.id)
      return answer(running)
    },
    resume(key) {
      const running = runningOf(engine, key)
      paused.remove(running.map((s) => s.plan.key))
      // An ordered one waits for its replay, whoever resumes it.
      for (const s of running) if (!replays.holds(s.plan.key)) machine.resume(s.id)
      return answer(running)
    },
    async replay(key, from, rewind) {
      const [s] = one(engine, key)
      if (!rewind && s.feed.replays !== undefined) return { how: 'beside', ...(await replays.start(s.plan.key, from)) }
      refuseRewind(parts, s, from, rewind)
      return setBack(s, from)
    },
    async skip(key) {
      const [s] = one(engine, key)
      const events = s.feed.backlog(s.id).events
      await s.feed.seek(s.id, { at: 'latest' })
      log.warn('unread events were dropped as told', { subscription: s.plan.key, events })
      return { events }
    },
    pausedWith(key) {
      const running = engine.subscriptions.get(key)
      return running === undefined || !paused.has(key) ? undefined : { events: unread(running) }
    },
  }

  async function setBack(s: RunningSubscription, from: Start): Promise<ReplayAnswer> {
    const before = unread(s)
    await s.feed.seek(s.id, from)
    const events = unread(s)
    log.warn('a subscription was set back as told', { subscription: s.plan.key, from: JSON.stringify(from), before, events })
    return { how: 'rewind', events }
  }
}

/** Where `oldestMs` is never later than the oldest event that is not settled; elsewhere it is a guess. */
const TELL_AGE: ReadonlySet<string> = new Set(['embedded', 'memory', 'kafka', 'nats'])

/** A rewind never goes forward, which would drop events, and never happens unasked: what came since comes again. */
function refuseRewind(
  { engine, machine }: HandParts,
  { plan, id, feed }: RunningSubscription,
  from: Start,
  asked: boolean,
): void {
  const system = 'stream' in plan.from ? streamSystem(engine, plan.from.stream) : sourceSystem(engine, plan.from.source)
  const refuse = (why: string): never => {
    throw new Fault('admin.refused', `${plan.key} ${why}`)
  }
  if (!feed.can.seek) return refuse(`cannot be read again: its events come from ${SYSTEMS[system]}, which cannot go back here`)
  if (!asked)
    return refuse(
      `has one reader: ${SYSTEMS[system]} gives it one position. --rewind sets that back: everything from there on is delivered again`,
    )
  if (from.at === 'latest') return refuse('cannot be set back to latest; "sluice skip" drops what is unread')
  if (from.at === 'earliest') return
  const { oldestMs, ...backlog } = feed.backlog(id)
  const { waiting, detached } = machine.state(id)
  // What waits long is kept apart from the position.
  const events = backlog.events + waiting - detached
  const known = TELL_AGE.has(system) && oldestMs > 0
  if (events <= 0 || (from.at === 'time' && known && from.timeMs <= oldestMs)) return
  const age = known ? `the oldest of ${new Date(oldestMs).toISOString()}` : 'and their age is not known'
  const remedy = 'let them be delivered, or name an earlier time or earliest; "sluice skip" before it drops them'
  refuse(`has ${events} events that are not delivered, ${age}: setting it there could drop some of them; ${remedy}`)
}

function streamSystem(engine: Engine, key: Key): StreamPlan['system'] {
  return engine.streams.get(key)?.plan.system ?? 'embedded'
}

function sourceSystem(engine: Engine, key: Key): SourcePlan['system'] {
  return engine.sources.get(key)?.plan.system ?? 'kafka'
}

/** The subscription of this key, or all that the resource of this key was lowered to. */
function runningOf(engine: Engine, key: Key): readonly [RunningSubscription, ...RunningSubscription[]] {
  const own = engine.subscriptions.get(key)
  if (own !== undefined) return [own]
  const items = engine.plan()?.resources.find((r) => r.key === key)?.items ?? []
  const [first, ...rest] = items.flatMap((item) => engine.subscriptions.get(item) ?? [])
  if (first !== undefined) return [first, ...rest]
  const all = [...engine.subscriptions.keys()].join(', ') || 'none'
  throw new Fault('admin.refused', `there is no subscription ${key}; there are: ${all}`)
}

/** Positions are moved one at a time. */
function one(engine: Engine, key: Key): readonly [RunningSubscription] {
  const [first, ...rest] = runningOf(engine, key)
  if (rest.length === 0) return [first]
  const all = [first, ...rest].map((s) => s.plan.key).join(', ')
  throw new Fault('admin.refused', `${key} has several subscriptions; name one of them: ${all}`)
}
