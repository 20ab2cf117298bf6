import type { Intake } from '../../contract/feed.ts'
import type { SubId } from '../../contract/ids.ts'
import type { AttemptStory } from '../../contract/outcome.ts'
import type { CloudEvent, Extension } from '../../event/event.ts'
import { fromRocketMqMessage, wrapRocketMqMessage } from '../../event/rocketmq.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { ReceivedMessage } from '../../vendor/rocketmq/messages.ts'
import { LANE, RocketMqDelivery, type Hold } from './hold.ts'
import type { RocketMqOptions } from './settings.ts'

const EVENT_TYPE = 'dev.knative.rocketmq.event'

export interface OfferingParts {
  readonly options: RocketMqOptions
  readonly clock: Clock
  /** A message the subscription does not want, or ends elsewhere: settled. */
  readonly unwanted: (hold: Hold) => void
}

/** Makes events of messages and offers them while the lane has room; what came too much waits its turn here. */
export class Offering {
  readonly #intake: Intake
  readonly #o: OfferingParts
  readonly #overrides: readonly Extension[]
  #sub: SubId | null = null
  #open = true
  #unread: Hold[] = []
  /** A message that was delivered so often goes to the group's dead letter queue next; 0 = not known. */
  maxAttempts = 0
  /** Events that went past the subscription. */
  passed = 0

  constructor(intake: Intake, o: OfferingParts) {
    this.#intake = intake
    this.#o = o
    this.#overrides = Object.entries(o.options.extensions)
  }

  get sub(): SubId | null {
    return this.#sub
  }

  /** Messages that wait here because the lane is full. */
  get unread(): number {
    return this.#unread.length
  }

  /** More may be asked for. */
  get mayRead(): boolean {
    return this.#sub !== null && this.#open && this.#unread.length === 0
  }

  attach(sub: SubId): void {
    this.#sub = sub
    this.#open = true
    this.#intake.assigned([LANE])
  }

  /** Nothing is offered any more; what waited is handed out. */
  detach(): readonly Hold[] {
    this.#sub = null
    return this.#unread.splice(0)
  }

  add(hold: Hold): void {
    this.#unread.push(hold)
  }

  resume(): void {
    this.#open = true
    this.run()
  }

  /** Offers what waits, as long as the lane has room. */
  run(): void {
    let i = 0
    const nowMs = this.#o.clock.wall()
    const unread = this.#unread
    while (i < unread.length && this.#open && this.#sub !== null) this.#offer(unread[i++] as Hold, this.#sub, nowMs)
    // A detach meanwhile has taken the rest.
    if (unread === this.#unread && i > 0) unread.splice(0, i)
  }

  #offer(hold: Hold, sub: SubId, nowMs: number): void {
    const message = hold.message
    if (message === null || hold.state !== 'unread') return
    hold.state = 'offered'
    hold.message = null
    this.passed++
    if (message.unreadable !== '') {
      const headers = Object.entries(message.properties)
      this.#intake.undecodable(sub, LANE, hold.position, {
        raw: message.body ?? new Uint8Array(0),
        headers,
        why: message.unreadable,
      })
      return
    }
    const event = this.#eventOf(message, nowMs)
    if (!this.#intake.matches(sub, event)) return this.#o.unwanted(hold)
    const leaseMs = hold.leaseUntilMs - this.#o.clock.now()
    const d = new RocketMqDelivery(hold, event, sub, message.attempt - 1, nowMs + leaseMs, this.#lastStory(message, nowMs))
    if (!this.#intake.offer(d)) this.#open = false
  }

  #eventOf(m: ReceivedMessage, nowMs: number): CloudEvent {
    const { instance } = this.#o.options
    const event =
      fromRocketMqMessage(m, nowMs) ??
      wrapRocketMqMessage(m, { messageId: m.messageId, instance, type: EVENT_TYPE, bornMs: m.bornMs }, nowMs)
    return this.#overrides.length === 0 ? event : overridden(event, this.#overrides)
  }

  /**
   * RocketMQ's last delivery before it would move the message to the group's dead letter queue, out of our sight: it ends
   * here, at the dead-letter sink or parked. What was never delivered before is not given up, however low the limit is.
   */
  #lastStory(m: ReceivedMessage, nowMs: number): AttemptStory | null {
    if (this.maxAttempts === 0 || m.attempt < this.maxAttempts || m.attempt <= 1) return null
    const { group } = this.#o.options
    return {
      attempt: m.attempt,
      to: `the group ${group}`,
      atMs: nowMs,
      tookMs: 0,
      status: 0,
      error: `RocketMQ delivered it ${m.attempt} times and it was never settled; the next time it would go to %DLQ%${group} (retryMaxTimes)`,
    }
  }
}

/** What `ceOverrides` asks for: the extension is set, whatever it was before. */
function overridden(event: CloudEvent, overrides: readonly Extension[]): CloudEvent {
  const kept = event.extensions.filter(([name]) => !overrides.some(([over]) => over === name))
  return event.with({ extensions: [...kept, ...overrides] })
}
