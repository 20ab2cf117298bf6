import { RocketMqError, type RocketMqReason } from './errors.ts'
import { parseLooseJson } from './loose-json.ts'
import type { Command } from './remoting.ts'

/** What a broker answers a call with (ResponseCode). */
export const CODE = {
  ok: 0,
  systemError: 1,
  notSupported: 3,
  noPermission: 16,
  topicMissing: 17,
  noOffset: 22,
  groupMissing: 26,
  notOnline: 206,
} as const

export interface BrokerJson {
  readonly brokerName: string
  readonly cluster?: string
  readonly brokerAddrs?: Readonly<Record<string, string>>
}
export interface RouteJson {
  readonly brokerDatas?: readonly BrokerJson[]
  readonly queueDatas?: readonly { readonly brokerName: string; readonly perm: number; readonly readQueueNums: number }[]
}
export interface ClusterJson {
  readonly brokerAddrTable?: Readonly<Record<string, BrokerJson>>
}
export interface GroupJson {
  readonly retryMaxTimes?: number
  readonly consumeMessageOrderly?: boolean
}
export interface GroupsJson {
  readonly subscriptionGroupTable?: Readonly<Record<string, unknown>>
}
export interface RuntimeJson {
  readonly table?: Readonly<Record<string, string>>
}
export interface StatsJson {
  readonly offsetTable?: Readonly<
    Record<string, { readonly brokerOffset?: number; readonly consumerOffset?: number; readonly lastTimestamp?: number }>
  >
}

export const leaderOf = (b: BrokerJson): string => b.brokerAddrs?.['0'] ?? ''

/** An unknown group has a code of its own; some calls say it in words. */
export function isMissingGroup({ code, remark }: Command): boolean {
  return code === CODE.groupMissing || (code === CODE.systemError && /group.*not.*exist|No group in this broker/i.test(remark))
}

export function checked(answer: Command, what: string): Command {
  if (answer.code === CODE.ok) return answer
  const reasons: Readonly<Record<number, RocketMqReason>> = {
    [CODE.noPermission]: 'Unauthorized',
    [CODE.topicMissing]: 'TopicMissing',
    [CODE.groupMissing]: 'GroupMissing',
  }
  throw new RocketMqError(
    reasons[answer.code] ?? 'RocketMQFailed',
    `${what}: ${answer.remark || 'refused'} (code ${answer.code})`,
  )
}

export function jsonOf(answer: Command): unknown {
  return parseLooseJson(Buffer.from(answer.body).toString('utf8'))
}
