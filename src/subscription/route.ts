import type { SubscriptionPlan } from '../contract/plan.ts'
import type { Credit, Target } from '../contract/target.ts'
import type { CloudEvent } from '../event/event.ts'
import { Limiter } from '../flow/limiter.ts'
import { Rate } from '../flow/rate.ts'
import type { Clock } from '../runtime/clock.ts'
import { Leg } from './leg.ts'
import type { AttemptParts, LegName, Walk } from './walk.ts'

/** What the engine runs a subscription with: the plan, and the targets its keys stand for. null = none, or not resolved. */
export interface RunningSpec {
  readonly plan: SubscriptionPlan
  readonly target: Target | null
  readonly reply: Target | null
  readonly deadLetter: Target | null
  /** The reply target is the stream the subscription reads: append and settlement are one transaction. */
  readonly replyIsOwnStream?: boolean
  /** The dead-letter target is the stream the subscription reads: its own dead letters do not come back to it. */
  readonly deadLetterIsOwnStream?: boolean
}

/** Where the deliveries of a subscription go and how: its three legs and its limits, as the newest spec has them. */
export class Route {
  readonly subscriber: Leg
  readonly reply: Leg
  readonly deadLetter: Leg
  limiter: Limiter
  rate: Rate | null
  #spec: RunningSpec
  #headers: readonly string[]
  readonly #clock: Clock

  constructor(spec: RunningSpec, clock: Clock) {
    this.#spec = spec
    this.#clock = clock
    this.subscriber = new Leg('subscriber', spec.target)
    this.reply = new Leg('reply', spec.reply)
    this.deadLetter = new Leg('dead-letter', spec.deadLetter)
    this.limiter = new Limiter(spec.plan.limits.maxConcurrency)
    this.rate = rateOf(spec.plan, clock)
    this.#headers = headersOf(spec.plan)
  }

  get plan(): SubscriptionPlan {
    return this.#spec.plan
  }

  leg(name: LegName): Leg {
    return name === 'subscriber' ? this.subscriber : name === 'reply' ? this.reply : this.deadLetter
  }

  nameOf(leg: LegName): string {
    return this.leg(leg).target?.name ?? ''
  }

  /** Nothing may be queued in an old target any more. */
  update(spec: RunningSpec): void {
    const limits = this.plan.limits
    const underWay = this.limiter.taken
    this.#spec = spec
    this.subscriber.target = spec.target
    this.reply.target = spec.reply
    this.deadLetter.target = spec.deadLetter
    this.#headers = headersOf(spec.plan)
    if (spec.plan.limits.maxConcurrency !== limits.maxConcurrency) {
      this.limiter = new Limiter(spec.plan.limits.maxConcurrency, underWay)
    }
    if (spec.plan.limits.ratePerS !== limits.ratePerS) this.rate = rateOf(spec.plan, this.#clock)
  }

  /** A dead letter that this very subscription made and put into the stream it reads. */
  isOwnDeadLetter(event: CloudEvent): boolean {
    if (this.#spec.deadLetterIsOwnStream !== true || event.extensions.length === 0) return false
    return event.attribute('knativeerrordest') === this.nameOf('subscriber')
  }

  attemptParts(w: Walk, c: Credit, members: readonly Walk[] | null, nowMs: number): AttemptParts {
    const { plan } = this.#spec
    const toSubscriber = w.leg === 'subscriber'
    return {
      event: toSubscriber ? w.d.event : w.leg === 'reply' ? w.trouble!.reply! : w.trouble!.deadLetter!,
      startedMs: nowMs,
      timeoutMs: plan.delivery.timeoutMs,
      wantsReply: toSubscriber && plan.reply !== null,
      structured: toSubscriber && plan.delivery.format === 'json',
      namespace: plan.namespace,
      headers: toSubscriber ? this.#headers : NO_HEADERS,
      target: this.leg(w.leg).target!,
      pod: c.pod,
      settles: w.leg === 'reply' && this.#spec.replyIsOwnStream === true && w.lane.id >= 0,
      members,
      call: null,
    }
  }
}

const NO_HEADERS: readonly string[] = Object.freeze([])

function rateOf(plan: SubscriptionPlan, clock: Clock): Rate | null {
  return plan.limits.ratePerS > 0 ? new Rate(plan.limits.ratePerS, clock.now()) : null
}

/** Revealed once a spec, for the sender alone. */
function headersOf(plan: SubscriptionPlan): readonly string[] {
  return plan.headers.length === 0 ? NO_HEADERS : plan.headers.flatMap(([name, value]) => [name, value.reveal()])
}
