import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  type DiscardPolicy,
  type JetStreamManager,
  type ReplayPolicy,
  type RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream'
import { errorOfCall, NatsError } from './errors.ts'

/** How a stream is made. Times ms, sizes bytes; 0 = the server's own, -1 = no limit. */
export interface StreamCreate {
  readonly name: string
  readonly subjects: readonly string[]
  readonly retention: 'limits' | 'interest' | 'workqueue'
  readonly discard: 'old' | 'new'
  readonly storage: 'file' | 'memory'
  readonly replicas: number
  readonly maxConsumers: number
  readonly maxMsgs: number
  readonly maxBytes: number
  readonly maxAgeMs: number
  readonly maxMsgSize: number
  readonly duplicateWindowMs: number
  readonly placement: { readonly cluster: string; readonly tags: readonly string[] } | null
}

/** What a stream says of itself. */
export interface StreamView {
  readonly subjects: readonly string[]
  readonly retention: string
  readonly discard: string
  readonly limited: boolean
  /** 0 = none of its own. */
  readonly maxMsgSize: number
  readonly lastSeq: number
}

/** Where a consumer begins. */
export type ConsumerStart =
  | { readonly at: 'all' | 'new' | 'last' }
  | { readonly at: 'sequence'; readonly sequence: number }
  | { readonly at: 'time'; readonly timeMs: number }

/** How a durable pull consumer with explicit acknowledgements is made. `maxAckPending` -1 = no limit. */
export interface ConsumerCreate {
  readonly name: string
  readonly description: string
  readonly filterSubject: string
  readonly start: ConsumerStart
  readonly ackWaitMs: number
  readonly maxAckPending: number
  readonly replay: 'instant' | 'original'
  readonly rateLimitBps: number
  readonly sampleFrequency: string
}

/** What a consumer says of itself. */
export interface ConsumerView {
  readonly name: string
  readonly description: string
  /** Delivers by itself, to a subject, and cannot be pulled from. */
  readonly push: boolean
  /** Somebody listens to a push consumer; not said where nobody does. */
  readonly bound: boolean | undefined
  readonly ackPolicy: string
  readonly ackWaitMs: number
  /** -1 = for ever. */
  readonly maxDeliver: number
  readonly maxAckPending: number
  /** Every sequence up to it is acknowledged. */
  readonly ackFloor: number
  /** Not delivered yet. */
  readonly pending: number
  /** Delivered and not acknowledged. */
  readonly ackPending: number
}

const NS = 1e6

/** The calls of JetStream's administration that a stream needs. Each rejects with a NatsError. */
export class NatsAdmin {
  readonly #manager: () => JetStreamManager

  constructor(manager: () => JetStreamManager) {
    this.#manager = manager
  }

  /** null = there is none. */
  stream(name: string): Promise<StreamView | null> {
    return orNull('StreamMissing', async () => {
      const { config, state } = await this.#manager().streams.info(name)
      return {
        subjects: config.subjects ?? [],
        retention: config.retention,
        discard: config.discard,
        limited: config.max_msgs > 0 || config.max_bytes > 0 || config.max_age > 0,
        maxMsgSize: Math.max(0, config.max_msg_size),
        lastSeq: state.last_seq,
      }
    })
  }

  createStream(s: StreamCreate): Promise<void> {
    return checked(async () => {
      await this.#manager().streams.add({
        name: s.name,
        subjects: [...s.subjects],
        retention: s.retention as RetentionPolicy,
        discard: s.discard as DiscardPolicy,
        storage: s.storage === 'memory' ? StorageType.Memory : StorageType.File,
        ...(s.replicas > 0 ? { num_replicas: s.replicas } : {}),
        ...(s.maxConsumers !== 0 ? { max_consumers: s.maxConsumers } : {}),
        ...(s.maxMsgs !== 0 ? { max_msgs: s.maxMsgs } : {}),
        ...(s.maxBytes !== 0 ? { max_bytes: s.maxBytes } : {}),
        ...(s.maxAgeMs !== 0 ? { max_age: s.maxAgeMs * NS } : {}),
        ...(s.maxMsgSize !== 0 ? { max_msg_size: s.maxMsgSize } : {}),
        ...(s.duplicateWindowMs !== 0 ? { duplicate_window: s.duplicateWindowMs * NS } : {}),
        ...(s.placement === null ? {} : { placement: { cluster: s.placement.cluster, tags: [...s.placement.tags] } }),
      })
    })
  }

  /** When an event was stored, wall clock ms; 0 = there is none with this sequence. */
  async storedMs(stream: string, sequence: number): Promise<number> {
    try {
      return (await this.#manager().streams.getMessage(stream, { seq: sequence }))?.time.getTime() ?? 0
    } catch {
      return 0
    }
  }

  /** Deletes what waits under a subject. */
  purge(stream: string, subject: string): Promise<void> {
    return checked(async () => {
      await this.#manager().streams.purge(stream, { filter: subject })
    })
  }

  consumer(stream: string, name: string): Promise<ConsumerView | null> {
    return orNull('ConsumerMissing', async () => viewOf(await this.#manager().consumers.info(stream, name)))
  }

  async consumers(stream: string): Promise<ConsumerView[]> {
    return checked(async () => {
      const list: ConsumerView[] = []
      for await (const info of this.#manager().consumers.list(stream)) list.push(viewOf(info))
      return list
    })
  }

  createConsumer(stream: string, c: ConsumerCreate): Promise<ConsumerView> {
    return checked(async () => viewOf(await this.#manager().consumers.add(stream, configOf(c))))
  }

  updateConsumer(
    stream: string,
    name: string,
    change: { readonly maxAckPending?: number; readonly maxDeliver?: number },
  ): Promise<ConsumerView> {
    const { maxAckPending, maxDeliver } = change
    return checked(async () =>
      viewOf(
        await this.#manager().consumers.update(stream, name, {
          ...(maxAckPending === undefined ? {} : { max_ack_pending: maxAckPending }),
          ...(maxDeliver === undefined ? {} : { max_deliver: maxDeliver }),
        }),
      ),
    )
  }

  /** Also where there is none. */
  async deleteConsumer(stream: string, name: string): Promise<void> {
    await orNull('ConsumerMissing', () => this.#manager().consumers.delete(stream, name))
  }
}

async function checked<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (e) {
    throw errorOfCall(e)
  }
}

/** null for what is missing; a consumer of a missing stream is missing as well. */
async function orNull<T>(reason: 'StreamMissing' | 'ConsumerMissing', call: () => Promise<T>): Promise<T | null> {
  try {
    return await checked(call)
  } catch (e) {
    if (e instanceof NatsError && (e.reason === reason || e.reason === 'StreamMissing')) return null
    throw e
  }
}

function viewOf({ name, config, num_pending, num_ack_pending, ack_floor, push_bound }: ConsumerInfo): ConsumerView {
  return {
    name,
    description: config.description ?? '',
    push: config.deliver_subject !== undefined && config.deliver_subject !== '',
    bound: push_bound,
    ackPolicy: config.ack_policy,
    ackWaitMs: (config.ack_wait ?? 0) / NS,
    maxDeliver: config.max_deliver ?? -1,
    maxAckPending: config.max_ack_pending ?? -1,
    ackFloor: ack_floor.stream_seq,
    pending: num_pending,
    ackPending: num_ack_pending,
  }
}

const POLICIES = { all: DeliverPolicy.All, new: DeliverPolicy.New, last: DeliverPolicy.Last } as const

function configOf(c: ConsumerCreate): Partial<ConsumerConfig> {
  const { start } = c
  return {
    name: c.name,
    durable_name: c.name,
    description: c.description,
    ack_policy: AckPolicy.Explicit,
    ack_wait: c.ackWaitMs * NS,
    max_deliver: -1,
    max_ack_pending: c.maxAckPending,
    replay_policy: c.replay as ReplayPolicy,
    ...(c.filterSubject === '' ? {} : { filter_subject: c.filterSubject }),
    ...(c.rateLimitBps > 0 ? { rate_limit_bps: c.rateLimitBps } : {}),
    ...(c.sampleFrequency === '' ? {} : { sample_freq: c.sampleFrequency }),
    ...(start.at === 'sequence'
      ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Math.max(1, start.sequence) }
      : start.at === 'time'
        ? { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(start.timeMs).toISOString() }
        : { deliver_policy: POLICIES[start.at] }),
  }
}
