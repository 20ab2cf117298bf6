import type { DetachedState } from '../../contract/delivery.ts'
import type { Start } from '../../contract/feed.ts'
import type { Key } from '../../contract/ids.ts'
import type { Appended } from '../../contract/stream.ts'
import type { CloudEvent } from '../../event/event.ts'
import { type NatsContent, toNatsMessage } from '../../event/nats.ts'
import type { Clock, Timer } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { randomId } from '../../runtime/random.ts'
import { Health } from '../../sources/kafka/health.ts'
import { NatsAdmin } from '../../vendor/nats/admin.ts'
import type { NatsError } from '../../vendor/nats/errors.ts'
import { NatsLink } from '../../vendor/nats/link.ts'
import type { Complaint } from '../../sources/queue/health.ts'
import type { QueueOrder, QueueSystem } from '../queue/system.ts'
import { Answers } from './answers.ts'
import { type JetStreamMessage, stateLine } from './message.ts'
import { ConsumerPlace, StreamPlace, type Surroundings } from './place.ts'
import { Publisher } from './publisher.ts'
import { PullConsumer } from './pull.ts'
import { consumerName, consumerOf, type NatsStreamSettings, retryConsumerOf, retryStreamOf, retrySubjectOf } from './settings.ts'
import { NatsSubscription, type Reader } from './subscription.ts'

/** Backlogs and consumers are looked at so often. */
const LOOK_MS = 3_000
/** What is published waits for subscriptions that were never made, but not longer than this after the connection is there. */
const MAKING_MS = 3_000
/** Something that is forbidden is tried again within this time. */
const TROUBLE_MS = 75_000

export interface NatsSystemParts {
  readonly settings: NatsStreamSettings
  readonly clock: Clock
  readonly log: Log
  /** UID of the resource a subscription was made from, '' = it is not known. */
  readonly uidOf: (key: Key) => string
}

/** A JetStream stream as a system of queues: a durable consumer a subscription, on one connection. */
export class NatsSystem implements QueueSystem<JetStreamMessage> {
  readonly #p: NatsSystemParts
  readonly #health: Health
  readonly #link: NatsLink
  readonly #around: Surroundings
  readonly #stream: StreamPlace
  readonly #retry: StreamPlace
  readonly #publisher: Publisher
  readonly #answers: Answers
  readonly #subscriptions = new Set<NatsSubscription>()
  /** Of the stream's consumers, by the key that stands in their description: also of subscriptions that are gone. */
  #known = new Map<Key, string>()
  /** Consumers that are being deleted, by name. */
  readonly #leaving = new Map<string, Promise<void>>()
  readonly #timer: Timer
  /** Wanted and never made: a consumer that begins at the end has to be there before what it is to see. */
  readonly #unmade = new Set<ConsumerPlace>()
  #upMs = 0
  #troubledMs = 0
  #looking = false
  #closed = false
  #readers = 0

  constructor(parts: NatsSystemParts) {
    this.#p = parts
    const { settings, clock, log } = parts
    const health = new Health(log, 'NATS stream')
    this.#health = health
    this.#link = new NatsLink(
      { ...settings, name: `sluice ${settings.namespace}/${settings.name}` },
      {
        up: () => this.#up(),
        down: (e) => this.#down(e.message),
        trouble: (e) => this.#trouble(e),
      },
    )
    const admin = new NatsAdmin(() => this.#link.admin)
    this.#around = { admin, clock, log, health, up: () => this.#link.up }
    this.#stream = new StreamPlace(this.#around, settings.stream, settings.subject, () => this.#publisher.resend())
    this.#retry = new StreamPlace(this.#around, retryStreamOf(settings.stream), '', () => {})
    this.#answers = new Answers(this.#link, clock)
    this.#publisher = new Publisher({
      link: this.#link,
      clock,
      session: randomId().slice(0, 12),
      ready: () => this.#stream.view !== null && this.#complete,
      missing: () => this.#lookAfterStream(true),
      refused: (e) => (e === null ? health.good('publish') : health.bad('publish', e.reason, e.message)),
      why: () => health.complaint?.message ?? 'NATS did not answer in time',
    })
    this.#timer = clock.every(LOOK_MS, () => void this.#look())
    this.#link.start()
  }

  get complaint(): Complaint | undefined {
    return this.#health.complaint
  }

  /** As long as there never was a connection; one that is lost is back soon, mostly. */
  get away(): Complaint | undefined {
    return this.#link.unreached ?? undefined
  }

  publish(events: readonly CloudEvent[], done: (r: Appended) => void): void {
    const limitBytes = this.#mostBytes
    const contents: NatsContent[] = []
    for (const e of events) {
      const content = toNatsMessage(e)
      if (this.#publisher.tooLarge(content, limitBytes)) return done({ kind: 'too-large', limitBytes })
      contents.push(content)
    }
    this.#publisher.send(this.#p.settings.subject, contents, done)
  }

  subscribe(key: Key, from: Start, order: QueueOrder): NatsSubscription {
    const { settings, uidOf } = this.#p
    const name = consumerName(key, uidOf(key))
    this.#known.set(key, name)
    const ordered = order === 'ordered'
    const create = consumerOf(name, key, from, ordered, settings.consumer)
    const main = this.#reader(new ConsumerPlace(this.#around, this.#stream, create, () => this.#left(name)), false)
    const retry = retryConsumerOf(settings.stream.name, create)
    const due = ordered ? null : this.#reader(new ConsumerPlace(this.#around, this.#retry, retry, () => this.#left(name)), true)
    const subscription = new NatsSubscription(main, due, (consumer, event, state, done) =>
      this.#delay(consumer, event, state, done),
    )
    this.#subscriptions.add(subscription)
    for (const { place } of subscription.readers) place.want()
    return subscription
  }

  forget(key: Key): boolean {
    const name = this.#known.get(key)
    if (name === undefined) return false
    this.#known.delete(key)
    for (const s of this.#subscriptions) if (s.name === name) this.#subscriptions.delete(s)
    const gone = this.#delete(name)
      .catch((e: unknown) => this.#p.log.warn('a consumer could not be deleted', { consumer: name, error: messageOf(e) }))
      .finally(() => {
        if (this.#leaving.get(name) === gone) this.#leaving.delete(name)
      })
    this.#leaving.set(name, gone)
    return true
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#publisher.close(signal)
    const readers = [...this.#subscriptions].flatMap((s) => s.readers)
    // When the time is up nobody else waits for it: what is given back must not come here again.
    await Promise.all([...readers.map((r) => r.pull.quiesce(signal)), ...this.#leaving.values()])
    await new Promise<void>((resolve) => this.#p.clock.soon(resolve))
    this.#timer.cancel()
    for (const { place } of readers) place.stop()
    this.#answers.close()
    await this.#link.close()
  }

  // -- the connection -----------------------------------------------------------------------------------------------

  #up(): void {
    this.#health.good('connection')
    this.#upMs = this.#p.clock.now()
    this.#lookAfterStream(true)
    for (const s of this.#subscriptions) for (const { place } of s.readers) place.want()
    void this.#look()
  }

  #down(why: string): void {
    this.#health.bad('connection', 'NatsUnreachable', why)
    this.#answers.lost()
    for (const s of this.#subscriptions)
      for (const { place, pull } of s.readers) {
        place.pause()
        pull.lost()
      }
  }

  #trouble(e: NatsError): void {
    if (!this.#link.up) return this.#health.bad('connection', e.reason, e.message)
    // A call that is forbidden says so itself; a pull and a publish do not.
    if (e.message.includes('$JS.API.') && !e.message.includes('.MSG.NEXT.')) return
    this.#health.bad('permission', e.reason, e.message)
    this.#troubledMs = this.#p.clock.now()
  }

  #lookAfterStream(anew: boolean): void {
    if (anew) this.#stream.doubt()
    // What fails is in the complaint; it is tried again at the next look.
    this.#stream.ensure().catch(() => {})
  }

  get #complete(): boolean {
    return this.#unmade.size === 0 || this.#p.clock.now() - this.#upMs > MAKING_MS
  }

  /** Bytes of one message. */
  get #mostBytes(): number {
    const own = this.#stream.view?.maxMsgSize ?? 0
    return own > 0 ? Math.min(own, this.#link.maxPayload) : this.#link.maxPayload
  }

  // -- subscriptions ------------------------------------------------------------------------------------------------

  #reader(place: ConsumerPlace, due: boolean): Reader {
    const pull = new PullConsumer({
      link: this.#link,
      clock: this.#p.clock,
      place,
      answers: this.#answers,
      due,
      tail: `c${++this.#readers}`,
    })
    if (!due) this.#unmade.add(place)
    place.onReady = () => {
      if (this.#unmade.delete(place)) this.#publisher.flush()
      pull.pump()
    }
    place.onStop = () => this.#unmade.delete(place)
    return { place, pull }
  }

  #delay(consumer: string, event: CloudEvent, state: DetachedState, done: (ok: boolean) => void): void {
    const { head, payload } = toNatsMessage(event)
    const content = { head: head + stateLine(state), payload }
    if (this.#publisher.tooLarge(content, this.#link.maxPayload)) return done(false)
    const subject = retrySubjectOf(this.#stream.name, consumer)
    this.#publisher.send(subject, [content], (r) => done(r.kind === 'durable'))
  }

  async #delete(name: string): Promise<void> {
    const { admin } = this.#around
    const subject = retrySubjectOf(this.#stream.name, name)
    await admin.deleteConsumer(this.#stream.name, name)
    await admin.deleteConsumer(this.#retry.name, name)
    if ((await admin.stream(this.#retry.name)) !== null) await admin.purge(this.#retry.name, subject)
  }

  async #left(name: string): Promise<void> {
    await this.#leaving.get(name)
  }

  /** One call for all consumers of the stream: their backlogs, and who is there. */
  async #look(): Promise<void> {
    if (this.#looking || this.#closed || !this.#link.up) return
    if (this.#stream.view === null) this.#lookAfterStream(false)
    if (this.#p.clock.now() - this.#troubledMs > TROUBLE_MS) this.#health.good('permission')
    this.#looking = true
    try {
      const views = new Map((await this.#around.admin.consumers(this.#stream.name)).map((v) => [v.name, v]))
      const known = new Map<Key, string>()
      for (const v of views.values()) if (v.description !== '' && !this.#leaving.has(v.name)) known.set(v.description, v.name)
      for (const s of this.#subscriptions) {
        const view = views.get(s.name)
        if (view !== undefined) await s.seen(view, (sequence) => this.#around.admin.storedMs(this.#stream.name, sequence))
        known.set(s.key, s.name)
        if (s.over) this.#subscriptions.delete(s)
      }
      this.#known = known
    } catch {
      // The next look is soon.
    } finally {
      this.#looking = false
    }
  }
}
