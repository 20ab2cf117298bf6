import { ACCEPTED, type Outcome } from '../contract/outcome.ts'
import { SILENT_DELIVERY, type Delivery } from '../contract/delivery.ts'
import type { Key } from '../contract/ids.ts'
import type { CloudEvent } from '../event/event.ts'
import type { Clock } from '../runtime/clock.ts'
import { Fault } from '../runtime/errors.ts'
import type { DeliveryMachine } from '../subscription/machine.ts'
import { REPLAY_LANE } from '../subscription/walk.ts'
import type { Engine } from './engine.ts'
import type { RunningTarget } from './targets.ts'

export interface RedeliverParts {
  readonly engine: Engine
  readonly machine: DeliveryMachine
  readonly clock: Clock
  /** A target for an address that is in no plan. */
  readonly targetFor: (uri: string) => RunningTarget
}

const LATER = Symbol('the lane of replays is full')
/** What an attempt outside any subscription may take. */
const ATTEMPT_MS = 60_000
/** The lane of replays is full: asked again after this long. */
const FULL_MS = 20

/** Sends a parked event once more; resolves with whether it was settled again. */
export function createRedeliver({
  engine,
  machine,
  clock,
  targetFor,
}: RedeliverParts): (key: Key, event: CloudEvent, to: string) => Promise<boolean> {
  let position = 0
  const throughSubscription = async (key: Key, event: CloudEvent): Promise<boolean> => {
    const running = engine.subscriptions.get(key)
    if (running === undefined)
      throw new Fault(
        'admin.refused',
        `${key} is not in the manifests any more; --to names another place to send its parked events`,
      )
    const delivery: Delivery = {
      ...SILENT_DELIVERY,
      event,
      sub: running.id,
      lane: REPLAY_LANE,
      position: ++position,
      bytes: event.data?.length ?? 0,
    }
    for (;;) {
      const result = await new Promise<boolean | typeof LATER>((resolve) => {
        const taken = machine.replay(running.id, delivery, {
          settle: (_d, how) => resolve(how === 'delivered' || how === 'dead-lettered' || how === 'filtered'),
          // It is parked already, where it stands.
          park(_d, _state, done) {
            done(true)
            resolve(false)
          },
          detachDelivery: (_d, _state, done) => done(false),
        })
        if (!taken) clock.after(FULL_MS, () => resolve(LATER))
      })
      if (result !== LATER) return result
    }
  }
  const elsewhere = async (event: CloudEvent, to: string): Promise<boolean> => {
    const known = engine.targets.get(to) ?? [...engine.targets.values()].find((t) => t.name === to)
    const target = known ?? targetFor(to)
    const outcome = await new Promise<Outcome>((resolve) => attempt(target, event, clock, resolve))
    if (known === undefined) target.close()
    return outcome.kind === ACCEPTED.kind
  }
  return (key, event, to) => (to === '' ? throughSubscription(key, event) : elsewhere(event, to))
}

function attempt(target: RunningTarget, event: CloudEvent, clock: Clock, done: (o: Outcome) => void): void {
  target.acquire({
    kind: 'event',
    sub: -1,
    retry: false,
    bytes: event.data?.length ?? 0,
    start: (credit) =>
      target.send(
        {
          delivery: SILENT_DELIVERY,
          event,
          attempt: 1,
          deadlineMs: clock.now() + ATTEMPT_MS,
          wantsReply: false,
          structured: false,
          namespace: '',
          headers: [],
          done,
        },
        credit,
      ),
    refused: (why) => done({ kind: 'retryable', status: 503, why }),
  })
}
