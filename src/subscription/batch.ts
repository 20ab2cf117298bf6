import type { Outcome } from '../contract/outcome.ts'
import type { SubscriptionPlan } from '../contract/plan.ts'
import type { LaneTable } from './lane-table.ts'
import type { Leg } from './leg.ts'
import type { RunningAttempt, Walk } from './walk.ts'

/** A batch that has so many bytes takes no more events, however many it may have: what Sluice itself takes by default. */
const BATCH_FULL_BYTES = 1 << 20

/**
 * The deliveries that go with `first` in one attempt, `first` among them: due retries, then those in line; in an ordered
 * lane only its own, in their order. One credit, one place of the subscription's limit.
 */
export function gatherBatch(first: Walk, table: LaneTable, leg: Leg, plan: SubscriptionPlan): readonly Walk[] {
  const members = [first]
  let bytes = first.bytes
  while (members.length < plan.batchMax && bytes < BATCH_FULL_BYTES) {
    const w = table.order === 'ordered' ? table.nextOf(first.lane, members.length) : (leg.nextReady() ?? table.next())
    if (w === undefined) break
    members.push(w)
    bytes += w.bytes
  }
  return members
}

/** What the outcome of a batch means for one of its members. */
export function outcomeOfMember(m: Walk, a: RunningAttempt, o: Outcome): Outcome {
  if (o.kind !== 'accepted') return o
  const { source, id } = m.d.event
  const failed = o.failed?.find((f) => f.id === id && f.source === source)
  if (failed !== undefined) {
    return {
      kind: failed.retryable ? 'retryable' : 'rejected',
      status: o.status,
      why: 'the subscriber says that this event of the batch failed',
    }
  }
  // One answer, one reply: it belongs to the first of the batch.
  return m === a.walk || (o.reply === undefined && o.badReply === undefined) ? o : { kind: 'accepted', status: o.status }
}

/**
 * How many members of an ordered batch have ended, the one that failed first among them: what stands behind it is attempted
 * again after it, as if it had not been sent, or the order would be broken.
 */
export function endedInOrder(members: readonly Walk[], o: Outcome): number {
  if (o.kind !== 'accepted') return 1
  const { failed } = o
  if (failed === undefined) return members.length
  const first = members.findIndex(({ d: { event } }) => failed.some((f) => f.id === event.id && f.source === event.source))
  return first < 0 ? members.length : first + 1
}
