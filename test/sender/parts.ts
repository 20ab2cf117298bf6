import type { Delivery } from '../../src/contract/delivery.ts'
import type { Outcome } from '../../src/contract/outcome.ts'
import type { Attempt, Credit, Origin, Sample } from '../../src/contract/target.ts'
import { CloudEvent } from '../../src/event/event.ts'
import { createSender, type Sender } from '../../src/sender/sender.ts'
import { SteppedClock } from './stepped-clock.ts'

export const LANES = ['own', 'undici'] as const
export type LaneName = (typeof LANES)[number]

export const EVENT = new CloudEvent({
  id: 'e-1',
  source: '/test',
  type: 'test.sent',
  datacontenttype: 'text/plain',
  data: Buffer.from('hello'),
})

/** A credit that counts what is done with it and refuses what the contract forbids. */
export class CountedCredit implements Credit {
  readonly pod = 'pod-1'
  readonly origin: Origin
  abandoned = 0
  released: Sample[] = []
  #gone: (() => void)[] = []

  constructor(origin: Origin) {
    this.origin = origin
  }

  abandon(): void {
    if (this.released.length > 0) throw new Error('abandoned after release')
    this.abandoned++
  }

  release(s: Sample): void {
    if (this.released.length > 0) throw new Error('released twice')
    this.released.push(s)
    this.#gone = []
  }

  onGone(f: () => void): void {
    this.#gone.push(f)
  }

  goes(): void {
    const gone = this.#gone
    this.#gone = []
    for (const f of gone) f()
  }
}

export interface Sent {
  readonly credit: CountedCredit
  readonly outcomes: Outcome[]
  readonly late: Outcome[]
  /** How often the credit had been released when each late outcome was told. */
  readonly releasedBeforeLate: number[]
  readonly outcome: Promise<Outcome>
}

export interface AttemptOverrides extends Partial<Omit<Attempt, 'done' | 'late'>> {
  readonly path?: string
  readonly host?: string
  readonly timeoutMs?: number
}

/** One attempt through the sender, with everything that came of it. */
export function attempt(bed: Bed, origin: Origin, o: AttemptOverrides = {}): Sent {
  const credit = new CountedCredit(origin)
  const outcomes: Outcome[] = []
  const late: Outcome[] = []
  const releasedBeforeLate: number[] = []
  const outcome = new Promise<Outcome>((resolve) => {
    const a: Attempt = {
      delivery: undefined as unknown as Delivery,
      event: EVENT,
      attempt: 1,
      deadlineMs: bed.clock.now() + (o.timeoutMs ?? 60_000),
      wantsReply: true,
      structured: false,
      namespace: 'default',
      headers: [],
      ...o,
      done(x) {
        outcomes.push(x)
        resolve(x)
      },
      late(x) {
        releasedBeforeLate.push(credit.released.length)
        late.push(x)
      },
    }
    bed.sender.send(o.path ?? '/', o.host ?? '', a, credit)
  })
  return { credit, outcomes, late, releasedBeforeLate, outcome }
}

export interface Bed {
  readonly clock: SteppedClock
  readonly sender: Sender
}

export function bed(lane: LaneName): Bed {
  const clock = new SteppedClock()
  return { clock, sender: createSender({ clock, laneFor: () => lane }) }
}
