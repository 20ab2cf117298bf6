import type { RocketMqCredentials, RocketMqTls } from '../../vendor/rocketmq/link.ts'

/** `SourcePlan.settings` of a source whose system is rocketmq. Times ms; what is optional has a default. */
export interface RocketMqSettings {
  /** `host:port` of proxies, any of the instance. */
  readonly endpoints: readonly string[]
  /** `host:port` of name servers; none = the group is not set back from here, and what it has not read is not known. */
  readonly nameServers?: readonly string[]
  /** Name servers and brokers speak TLS as well. */
  readonly nameServersTls?: boolean
  readonly topic: string
  /** Has to exist: a member cannot make its group. */
  readonly group: string
  readonly filter: { readonly kind: 'tag' | 'sql'; readonly expression: string }
  readonly credentials: RocketMqCredentials | null
  /** null = no TLS. */
  readonly tls: RocketMqTls | null
  /** Of the RocketMQ instance, '' = none. */
  readonly instanceNamespace?: string
  /** Names the instance in the source attribute of messages that are no CloudEvents. */
  readonly instance: string
  /** `spec.ceOverrides.extensions`: set on every event, over what it came with. */
  readonly extensions?: Readonly<Record<string, string>>
  /** A message we hold is nobody else's for so long; renewed when half of it is over. RocketMQ allows 10 s to 12 h. */
  readonly invisibleMs?: number
  /** The longest a receive waits for a message. */
  readonly waitMs?: number
  /** Messages of one receive; RocketMQ allows 32. */
  readonly batch?: number
  /** Receives under way at one broker, at most. */
  readonly receives?: number
  /** Messages held, unread and unsettled ones together; receives count with what they may bring. */
  readonly mostHeld?: number
  readonly heartbeatMs?: number
  /** How often the brokers of the topic are looked up. */
  readonly routeMs?: number
  /** How often the administrator is asked how much is unread. */
  readonly backlogMs?: number
}

/** The same with every default in its place. */
export type RocketMqOptions = Required<RocketMqSettings>

/** How often it is asked how much a group has not read: a call for every queue. */
export const BACKLOG_MS = 2_000

/** After a crash the others get what we held within 20 s; a renewal costs a call, so what waits long costs 0.1 calls a second. */
const DEFAULTS = {
  nameServers: [],
  nameServersTls: false,
  instanceNamespace: '',
  extensions: {},
  invisibleMs: 20_000,
  waitMs: 15_000,
  batch: 32,
  receives: 8,
  mostHeld: 4_096,
  heartbeatMs: 10_000,
  routeMs: 30_000,
  backlogMs: BACKLOG_MS,
} as const

export function rocketMqOptions(s: RocketMqSettings): RocketMqOptions {
  const given = Object.fromEntries(Object.entries(s).filter(([, value]) => value !== undefined)) as unknown as RocketMqSettings
  return Object.freeze({ ...DEFAULTS, ...given })
}
