import type { RabbitMqTls } from '../../vendor/rabbitmq/connection.ts'
import type { Secret } from '../../runtime/secret.ts'

export type QueueType = 'quorum' | 'classic'

/** Where a RabbitMQ is and how to be let in. */
export interface RabbitMqCluster {
  /** `host:port`, any of the cluster. */
  readonly hosts: readonly string[]
  readonly vhost: string
  readonly user: string
  readonly password: Secret
  /** null = no TLS. */
  readonly tls: RabbitMqTls | null
  /** URL of the management, '' = not known: it is asked for the delivery limits of queues that are there already. */
  readonly management: string
}

/** `SourcePlan.settings` of a source whose system is rabbitmq. */
export interface RabbitMqSettings extends RabbitMqCluster {
  readonly queue: string
  /** How queue and exchange are made where they are missing; null = they are somebody else's and never made here. */
  readonly declare: RabbitMqDeclaration | null
  /** Read one after the other. */
  readonly ordered: boolean
  /** Source attribute of messages that are no CloudEvents. */
  readonly source: string
  /** `spec.ceOverrides.extensions`: set on every event, over what it came with. */
  readonly extensions?: Readonly<Record<string, string>>
  /** Messages held at most. */
  readonly mostHeld?: number
  /** A message is given back and taken again when half of it is over; has to be less than RabbitMQ's `consumer_timeout`. */
  readonly leaseMs?: number
}

export interface RabbitMqDeclaration {
  readonly queueType: QueueType
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly exclusive: boolean
  /** '' = the queue is bound to none. */
  readonly exchange: string
  readonly exchangeType: string
  readonly exchangeDurable: boolean
  readonly exchangeAutoDelete: boolean
  readonly exchangeInternal: boolean
  readonly routingKeys: readonly string[]
}

/** RabbitMQ's `consumer_timeout` is half an hour unless somebody changed it. */
export const LEASE_MS = 20 * 60_000
/** Unsettled messages of one subscription, at most. */
export const MOST_HELD = 1_024
