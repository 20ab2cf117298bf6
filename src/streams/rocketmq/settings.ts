import type { RocketMqCredentials, RocketMqTls } from '../../vendor/rocketmq/link.ts'

/** `StreamPlan.settings` of a stream whose system is rocketmq. */
export interface RocketMqStreamSettings {
  /** `host:port` of proxies, any of the instance. */
  readonly endpoints: readonly string[]
  /** `host:port` of name servers; none = nothing is made, set back or counted here, and topics and groups have to be there. */
  readonly nameServers: readonly string[]
  /** Name servers and brokers speak TLS as well; else plain text, whatever the proxy speaks. */
  readonly nameServersTls: boolean
  /** Where topics and groups are made, '' = in every cluster the name servers know. */
  readonly cluster: string
  readonly credentials: RocketMqCredentials | null
  /** null = no TLS. */
  readonly tls: RocketMqTls | null
  /** Of the RocketMQ instance, '' = none. */
  readonly instanceNamespace: string
  readonly topic: string
  /** FIFO topics keep the order of every key, and take one event a call. */
  readonly type: 'NORMAL' | 'FIFO'
  /** Of a topic that is made here. */
  readonly queues: number
  /** Names the stream in the source attribute of messages that are no CloudEvents. */
  readonly instance: string
  /** How often the administrator is asked how much is unread; absent = 5 s. */
  readonly backlogMs?: number
}
