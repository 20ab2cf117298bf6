import type { CompiledFilter } from '../contract/filter.ts'
import type { Key } from '../contract/ids.ts'
import type { ResourceView, SubscriptionPlan } from '../contract/plan.ts'
import type { CloudEvent } from '../event/event.ts'
import { compileFilter } from '../filter/compile.ts'
import type { Journal, JournalDelivery, JournalEntry } from '../observe/journal.ts'
import type { Tails } from '../observe/tails.ts'
import type { EventStory, SubscriptionStory, Watch } from '../observe/watch.ts'
import { Fault } from '../runtime/errors.ts'
import type { Engine } from './engine.ts'
import { isKind } from './kinds.ts'

export interface WatchParts {
  readonly engine: Pick<Engine, 'plan' | 'subscriptions' | 'streams'>
  readonly journal: Journal
  readonly tails: Tails
}

/** Tells what the journal remembers together with what the filters say now, and follows live events. */
export function createWatch({ engine, journal, tails }: WatchParts): Watch {
  return {
    explain(id) {
      const entries = journal.find(id)
      if (entries.length === 0) throw new Fault('admin.not-found', unknown(id, journal.oneOf()))
      return entries.map((entry) => storyOf(entry, engine))
    },
    follow(kind, namespace, name, where, signal) {
      const keys = followable(engine, kind, namespace, name)
      const filter = where === '' ? null : compileFilter({ dialect: 'cesql', expression: where })
      return tails.follow(keys, (e) => filter === null || filter.matches(e, () => {}), signal)
    },
  }
}

function unknown(id: string, oneOf: number): string {
  const sampled = oneOf > 1 ? `it went well and was not among the 1 of ${oneOf} that are remembered at this rate, ` : ''
  return `nothing is remembered of an event "${id}": it never came here, ${sampled}or it is too long ago`
}

function storyOf(entry: JournalEntry, engine: WatchParts['engine']): EventStory {
  const { event, streams, deliveries } = entry
  const looked = [...engine.subscriptions.values()]
    .map((s) => s.plan)
    .filter((plan) => deliveries.has(plan.key) || ('stream' in plan.from && streams.some((s) => s.stream === streamOf(plan))))
  const gone = [...deliveries.values()].filter((d) => !engine.subscriptions.has(d.subscription))
  return {
    event: attributesOf(event),
    streams: streams.map((s) => ({ stream: s.stream, at: timeText(s.atMs) })),
    repeats: entry.repeats,
    subscriptions: [
      ...looked.map((plan) => subscriptionStory(plan.key, plan, entry)),
      ...gone.map((d) => subscriptionStory(d.subscription, null, entry)),
    ],
  }
}

function streamOf(plan: SubscriptionPlan): Key {
  return 'stream' in plan.from ? plan.from.stream : ''
}

function subscriptionStory(key: Key, plan: SubscriptionPlan | null, entry: JournalEntry): SubscriptionStory {
  const delivery = entry.deliveries.get(key)
  const offered =
    delivery !== undefined && !(delivery.attempts.length === 0 && delivery.state === 'waiting' && delivery.note !== '')
  const compiled: CompiledFilter | null = plan === null || plan.filter === null ? null : compileFilter(plan.filter)
  const matched = offered || (plan !== null && (compiled === null || compiled.matches(entry.event, () => {})))
  return {
    subscription: key,
    matched,
    clauses: compiled?.explain(entry.event) ?? [],
    now: nowText(delivery, offered, matched, entry, plan === null),
    attempts: (delivery?.attempts ?? []).map(({ atMs, ...rest }) => ({ ...rest, at: timeText(atMs) })),
    replies: delivery?.replies ?? [],
    note: delivery?.note ?? '',
  }
}

const STATES: Readonly<Record<JournalDelivery['state'], string>> = {
  waiting: 'waits in its lane',
  asking: 'waits for a credit, or is being attempted',
  resting: 'waits for its next attempt',
  filtered: 'was passed over: it is a dead letter of this very subscription',
  delivered: 'was delivered',
  'dead-lettered': 'went to the dead-letter sink',
  parked: 'is parked: "sluice dlq" lists, shows and replays it',
  detached: 'is stored until its next attempt',
  'handed-back': 'was handed back to where it came from, to be offered again',
}

function nowText(d: JournalDelivery | undefined, offered: boolean, matched: boolean, entry: JournalEntry, gone: boolean): string {
  if (d !== undefined && offered) {
    const due = d.dueMs > 0 ? `, due ${timeText(d.dueMs)}` : ''
    return `${STATES[d.state]} since ${timeText(d.sinceMs)}${due}${gone ? '; the subscription is not in the manifests any more' : ''}`
  }
  if (!matched) return entry.dataLeftOut ? 'did not match (its data is too large to be remembered)' : 'did not match'
  return 'matches now, but was not offered: it is unread, or the filter was another one when it came'
}

/** Streams where the resource has some, else its subscriptions. */
function followable(engine: WatchParts['engine'], kind: string, namespace: string, name: string): readonly Key[] {
  const views: readonly ResourceView[] = engine.plan()?.resources ?? []
  const view = views.find((v) => isKind(v, kind) && v.namespace === namespace && v.name === name)
  if (view === undefined) throw new Fault('admin.not-found', `there is no ${kind} ${namespace}/${name} in the manifests`)
  const streams = view.items.filter((item) => engine.streams.has(item))
  const keys = streams.length > 0 ? streams : view.items.filter((item) => engine.subscriptions.has(item))
  if (keys.length === 0)
    throw new Fault('admin.refused', `no events pass ${kind} ${namespace}/${name}: follow a broker, channel, trigger or source`)
  return keys
}

function attributesOf(e: CloudEvent): Record<string, unknown> {
  const { specversion, id, source, type, subject, time, datacontenttype, dataschema } = e
  return {
    ...{ specversion, id, source, type, subject, time, datacontenttype, dataschema },
    ...Object.fromEntries(e.extensions.map(([n, v]) => [n, v instanceof Uint8Array ? Buffer.from(v).toString('base64') : v])),
  }
}

function timeText(ms: number): string {
  return new Date(ms).toISOString()
}
