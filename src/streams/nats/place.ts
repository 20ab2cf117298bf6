import type { Clock, Timer } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import type { Health } from '../../sources/kafka/health.ts'
import type { ConsumerCreate, ConsumerView, NatsAdmin, StreamCreate, StreamView } from '../../vendor/nats/admin.ts'
import { errorOfCall, NatsError } from '../../vendor/nats/errors.ts'

const AGAIN_MS = 1_000

export interface Surroundings {
  readonly admin: NatsAdmin
  readonly clock: Clock
  readonly log: Log
  readonly health: Health
  /** There is a connection. */
  readonly up: () => boolean
}

/** A JetStream stream: looked up, made when it is missing, and looked up anew when something is wrong. */
export class StreamPlace {
  readonly name: string
  readonly #o: Surroundings
  readonly #create: StreamCreate
  readonly #subject: string
  readonly #onReady: () => void
  #view: StreamView | null = null
  #looking: Promise<StreamView> | null = null

  /** `subject`: one that it has to take, '' = any. */
  constructor(o: Surroundings, create: StreamCreate, subject: string, onReady: () => void) {
    this.#o = o
    this.#create = create
    this.#subject = subject
    this.#onReady = onReady
    this.name = create.name
  }

  /** null = it was not seen yet. */
  get view(): StreamView | null {
    return this.#view
  }

  /** What was seen of it may not hold any more. */
  doubt(): void {
    this.#view = null
  }

  /** Rejects with a NatsError. */
  async ensure(): Promise<StreamView> {
    if (this.#view !== null) return this.#view
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  async #look(): Promise<StreamView> {
    const part = `stream ${this.name}`
    try {
      let view = await this.#o.admin.stream(this.name)
      if (view === null) {
        await this.#o.admin.createStream(this.#create)
        this.#o.log.info('a JetStream stream was made', { stream: this.name })
        view = await this.#o.admin.stream(this.name)
      }
      if (view === null) throw new NatsError('StreamMissing', `the stream ${this.name} is gone again`)
      this.#check(view)
      this.#view = view
      this.#o.health.good(part)
    } catch (e) {
      const error = errorOfCall(e)
      if (error.reason !== 'NatsUnreachable' || this.#o.up())
        this.#o.health.bad(part, error.reason, `stream ${this.name}: ${error.message}`)
      throw error
    }
    this.#onReady()
    return this.#view
  }

  #check(view: StreamView): void {
    if (this.#subject !== '' && !view.subjects.some((s) => covers(s, this.#subject)))
      throw new NatsError(
        'StreamMismatch',
        `it is there, but takes ${view.subjects.join(', ')} and not ${this.#subject}; rename one of the two, or add the subject`,
      )
    if (view.limited && view.discard === 'old')
      this.#o.log.warn(
        'the stream drops its oldest events at its limits, also those that nobody has read; discard New refuses new ones',
        {
          stream: this.name,
        },
      )
  }
}

/** Whether a subject with wildcards covers one without. */
export function covers(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.')
  const given = subject.split('.')
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === '>') return given.length > i
    if (given[i] === undefined || (wanted[i] !== '*' && wanted[i] !== given[i])) return false
  }
  return wanted.length === given.length
}

/**
 * A durable consumer: looked up, made when it is missing.
 *
 *   wanted ─▶ (stream, consumer) ─▶ ready ─▶ (connection lost, missing) ─▶ wanted …
 */
export class ConsumerPlace {
  readonly stream: StreamPlace
  readonly create: ConsumerCreate
  readonly #o: Surroundings
  readonly #before: () => Promise<void>
  /** Grows when it is made anew: acknowledgements of an earlier one would hit events it has not delivered. */
  generation = 1
  onReady: () => void = () => {}
  onStop: () => void = () => {}
  #view: ConsumerView | null = null
  #ready = false
  #running = false
  #stopped = false
  #timer: Timer | null = null
  #waiters: (() => void)[] = []
  #toldLimit = false

  /** `before`: whatever has to be over first, an earlier deletion of it. */
  constructor(o: Surroundings, stream: StreamPlace, create: ConsumerCreate, before: () => Promise<void>) {
    this.#o = o
    this.stream = stream
    this.create = create
    this.#before = before
  }

  get name(): string {
    return this.create.name
  }

  get ready(): boolean {
    return this.#ready
  }

  get stopped(): boolean {
    return this.#stopped
  }

  get ackWaitMs(): number {
    return this.#view?.ackWaitMs ?? this.create.ackWaitMs
  }

  /** Deliveries after which JetStream drops a message, 0 = never. */
  get maxDeliver(): number {
    return Math.max(0, this.#view?.maxDeliver ?? 0)
  }

  /** Looks after it until it is there. */
  want(): void {
    if (this.#ready || this.#stopped || this.#running || !this.#o.up()) return
    this.#running = true
    this.#timer?.cancel()
    this.#make().then(
      (view) => this.#made(view),
      (e: unknown) => this.#failed(errorOfCall(e)),
    )
  }

  /** What was seen of it may not hold any more. */
  doubt(): void {
    this.#ready = false
    this.stream.doubt()
    this.want()
  }

  /** Asks the server for it, and changes nothing. */
  async look(): Promise<void> {
    if (this.#o.up()) await this.#o.admin.consumer(this.stream.name, this.name).catch(() => {})
  }

  /** The connection is gone. */
  pause(): void {
    this.#ready = false
  }

  whenReady(signal: AbortSignal): Promise<void> {
    if (this.#ready || this.#stopped || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiters.push(resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  /** Rejects with a NatsError; the consumer is where it was then. */
  async remake(start: ConsumerCreate['start']): Promise<void> {
    await this.stream.ensure()
    this.#ready = false
    this.#running = true
    this.generation++
    try {
      await this.#o.admin.deleteConsumer(this.stream.name, this.name)
      this.#made(await this.#o.admin.createConsumer(this.stream.name, { ...this.create, start }))
    } catch (e) {
      this.#failed(errorOfCall(e))
      throw e
    }
  }

  stop(): void {
    this.#stopped = true
    this.#ready = false
    this.#timer?.cancel()
    this.#o.health.good(this.#part)
    for (const resolve of this.#waiters.splice(0)) resolve()
    this.onStop()
  }

  get #part(): string {
    return `consumer ${this.name}`
  }

  #made(view: ConsumerView): void {
    this.#running = false
    if (this.#stopped) return
    this.#view = view
    this.#ready = this.#o.up()
    this.#o.health.good(this.#part)
    if (!this.#ready) return
    for (const resolve of this.#waiters.splice(0)) resolve()
    this.onReady()
  }

  #failed(error: NatsError): void {
    this.#running = false
    if (this.#stopped) return
    if (error.reason !== 'NatsUnreachable' || this.#o.up())
      this.#o.health.bad(this.#part, error.reason, `consumer ${this.name} of ${this.stream.name}: ${error.message}`)
    this.#timer?.cancel()
    this.#timer = this.#o.clock.after(AGAIN_MS, () => this.want())
  }

  async #make(): Promise<ConsumerView> {
    const { admin, log } = this.#o
    const { create, name } = this
    await this.#before()
    await this.stream.ensure()
    const stream = this.stream.name
    let view = await admin.consumer(stream, name)
    let { start } = create
    if (view?.push === true) {
      if (view.bound === true)
        throw new NatsError(
          'ConsumerMismatch',
          'somebody else listens to it, and it pushes; stop who does, then it is taken over',
        )
      // Knative's own dispatcher pushes: what is there goes on from the first event that is not acknowledged.
      start = { at: 'sequence', sequence: view.ackFloor + 1 }
      log.info('a push consumer is made anew as one to pull from', { stream, consumer: name, from: start.sequence })
      this.generation++
      await admin.deleteConsumer(stream, name)
      view = null
    }
    view ??= await admin.createConsumer(stream, { ...create, start })
    if (view.ackPolicy !== 'explicit')
      throw new NatsError('ConsumerMismatch', `it acknowledges "${view.ackPolicy}" and not each event ("explicit")`)
    const { maxAckPending } = create
    // One unsettled event is what order means; everything else may be as somebody wanted it.
    if ((maxAckPending === 1) !== (view.maxAckPending === 1)) view = await admin.updateConsumer(stream, name, { maxAckPending })
    return view.maxDeliver > 0 ? this.#unlimited(view) : view
  }

  /**
   * Knative gives its consumers so many deliveries as there are attempts. Here attempts are counted by the gateway, and a
   * delivery is lost with each gateway that is killed: the limit is taken away, else kept in mind.
   */
  async #unlimited(view: ConsumerView): Promise<ConsumerView> {
    const { admin, log } = this.#o
    const about = { stream: this.stream.name, consumer: this.name, maxDeliver: view.maxDeliver }
    try {
      const raised = await admin.updateConsumer(about.stream, about.consumer, { maxDeliver: -1 })
      log.info('the limit of deliveries of a consumer was taken away: attempts are counted by the gateway', about)
      return raised
    } catch (e) {
      if (errorOfCall(e).reason === 'NatsUnreachable' && !this.#o.up()) throw e
      if (!this.#toldLimit)
        log.warn('this consumer drops an event after so many deliveries: what reaches the last is dead-lettered or parked', about)
      this.#toldLimit = true
      return view
    }
  }
}
