import {
  checked,
  CODE,
  type ClusterJson,
  type GroupJson,
  type GroupsJson,
  isMissingGroup,
  jsonOf,
  leaderOf,
  type RouteJson,
  type RuntimeJson,
  type StatsJson,
} from './answers.ts'
import { RocketMqError } from './errors.ts'
import type { RocketMqCredentials, RocketMqTls } from './link.ts'
import { RemotingLink, type Command } from './remoting.ts'

export interface AdminSettings {
  /** `host:port` of name servers, tried in turn. */
  readonly nameServers: readonly string[]
  readonly credentials: RocketMqCredentials | null
  /** null = plain text. */
  readonly tls: RocketMqTls | null
  /** Where topics and groups are made; '' = every cluster the name server knows. */
  readonly cluster: string
}

export type TopicType = 'NORMAL' | 'FIFO' | 'DELAY'

/** One broker's part of a topic. */
export interface TopicPart {
  readonly broker: string
  /** `host:port` of its leader. */
  readonly address: string
  readonly readQueues: number
}

export interface GroupSeen {
  /** A message is delivered once and so often again before it goes to the group's dead letter queue. */
  readonly retryMaxTimes: number
  readonly fifo: boolean
}

/** How far a group has read one queue. */
export interface QueueProgress {
  readonly broker: string
  readonly queue: number
  /** Offset of the next message that will be stored. */
  readonly end: number
  /** Offset of the next message the group will be handed; what is handed out and not acknowledged counts as read. */
  readonly next: number
  /** When the last message it has read was stored: wall clock ms, 0 = not known. */
  readonly readMs: number
}

export type SeekTo = 'earliest' | 'latest' | { readonly timeMs: number }

/**
 * What only an administrator can do, over RocketMQ's own protocol with name server and brokers: the proxy has no word for
 * it. Every method rejects with a RocketMqError, after its time-out at the latest. Made by `openAdmin`; tests have a double.
 */
export interface RocketMqAdmin {
  /** null = there is no such topic. */
  topic(name: string): Promise<readonly TopicPart[] | null>
  /** Made on each leader, or changed; resolves when the name server tells of it. */
  makeTopic(name: string, o: { readonly queues: number; readonly type: TopicType }): Promise<void>
  deleteTopic(name: string): Promise<void>
  /** null = there is no such group. */
  group(name: string): Promise<GroupSeen | null>
  /** Names of all groups. */
  groups(): Promise<readonly string[]>
  makeGroup(name: string, o: GroupSeen): Promise<void>
  /** With its offsets; what it read again or gave up goes too. */
  deleteGroup(name: string, topics: readonly string[]): Promise<void>
  /** Whether the group has a place in every queue, in none, or in some only (queues that came later). */
  placed(group: string, topic: string): Promise<'all' | 'some' | 'none'>
  /** Gives the group a place in the queues where it has none; `false` moves it in every queue, as a rewind does. */
  place(group: string, topic: string, to: SeekTo, onlyMissing: boolean): Promise<void>
  progress(group: string, topic: string): Promise<readonly QueueProgress[]>
  close(): void
}

const CALL_MS = 5_000
/** The name server hears of a new topic within so long. */
const ROUTED_WITHIN_MS = 10_000
/** A broker writes the index of what it has stored within so long, even a busy one. */
const INDEXED_WITHIN_MS = 3_000
const LOOK_MS = 50

const ASK = {
  offset: 14,
  moveOffset: 15,
  makeTopic: 17,
  runtime: 28,
  offsetByTime: 29,
  lastOffset: 30,
  firstOffset: 31,
  route: 105,
  cluster: 106,
  makeGroup: 200,
  groups: 201,
  deleteGroup: 207,
  consumeStats: 208,
  deleteTopicAtBroker: 215,
  deleteTopicAtNames: 216,
  reset: 222,
  group: 352,
} as const

/** What a broker answers that leaves the setting back to clients. */
const LEFT_TO_CLIENTS: readonly number[] = [CODE.systemError, CODE.notSupported, CODE.notOnline]
const READABLE = 4

export function openAdmin(s: AdminSettings): RocketMqAdmin {
  return new RemotingAdmin(s)
}

class RemotingAdmin implements RocketMqAdmin {
  readonly #s: AdminSettings
  readonly #link: RemotingLink
  #turn = 0

  constructor(s: AdminSettings) {
    this.#s = s
    this.#link = new RemotingLink({ credentials: s.credentials, tls: s.tls, callMs: CALL_MS })
  }

  close(): void {
    this.#link.close()
  }

  async topic(name: string): Promise<readonly TopicPart[] | null> {
    const answer = await this.#askNames(ASK.route, { topic: name, acceptStandardJsonOnly: 'true' })
    if (answer.code === CODE.topicMissing) return null
    const route = jsonOf(checked(answer, `the route of ${name}`)) as RouteJson
    const leaders = new Map(route.brokerDatas?.map((b) => [b.brokerName, leaderOf(b)]))
    const parts: TopicPart[] = []
    for (const q of route.queueDatas ?? []) {
      const address = leaders.get(q.brokerName) ?? ''
      if (address !== '' && (q.perm & READABLE) !== 0) parts.push({ broker: q.brokerName, address, readQueues: q.readQueueNums })
    }
    return parts
  }

  async makeTopic(name: string, { queues, type }: { queues: number; type: TopicType }): Promise<void> {
    const fields = {
      topic: name,
      defaultTopic: 'TBW102',
      readQueueNums: String(queues),
      writeQueueNums: String(queues),
      perm: '6',
      topicFilterType: 'SINGLE_TAG',
      topicSysFlag: '0',
      order: 'false',
      attributes: `+message.type=${type}`,
    }
    const leaders = await this.#leaders()
    for (const address of leaders) checked(await this.#link.call(address, ASK.makeTopic, fields), `making the topic ${name}`)
    const untilMs = performance.now() + ROUTED_WITHIN_MS
    while (((await this.topic(name))?.length ?? 0) < leaders.length) {
      if (performance.now() > untilMs)
        throw new RocketMqError('TopicMissing', `the topic ${name} was made, but the name server does not know it yet`)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  }

  async deleteTopic(name: string): Promise<void> {
    for (const address of await this.#leaders()) await this.#link.call(address, ASK.deleteTopicAtBroker, { topic: name })
    await this.#askNames(ASK.deleteTopicAtNames, { topic: name })
  }

  async group(name: string): Promise<GroupSeen | null> {
    const seen: GroupSeen[] = []
    for (const address of await this.#leaders()) {
      const answer = await this.#link.call(address, ASK.group, { group: name })
      if (isMissingGroup(answer)) return null
      const g = jsonOf(checked(answer, `the consumer group ${name}`)) as GroupJson
      seen.push({ retryMaxTimes: g.retryMaxTimes ?? 16, fifo: g.consumeMessageOrderly === true })
    }
    if (seen.length === 0) return null
    return { retryMaxTimes: Math.min(...seen.map((g) => g.retryMaxTimes)), fifo: seen.every((g) => g.fifo) }
  }

  async groups(): Promise<readonly string[]> {
    const names = new Set<string>()
    for (const address of await this.#leaders()) {
      const answer = await this.#link.call(address, ASK.groups, {})
      const all = jsonOf(checked(answer, 'the consumer groups')) as GroupsJson
      for (const name of Object.keys(all.subscriptionGroupTable ?? {})) names.add(name)
    }
    return [...names]
  }

  async makeGroup(name: string, { retryMaxTimes, fifo }: GroupSeen): Promise<void> {
    const config = {
      groupName: name,
      consumeEnable: true,
      consumeFromMinEnable: true,
      consumeBroadcastEnable: true,
      consumeMessageOrderly: fifo,
      retryQueueNums: 1,
      retryMaxTimes,
      brokerId: 0,
      whichBrokerWhenConsumeSlowly: 1,
      notifyConsumerIdsChangedEnable: true,
      groupSysFlag: 0,
      consumeTimeoutMinute: 15,
      attributes: {},
    }
    const body = Buffer.from(JSON.stringify(config))
    for (const address of await this.#leaders())
      checked(await this.#link.call(address, ASK.makeGroup, {}, body), `making the consumer group ${name}`)
  }

  async deleteGroup(name: string, topics: readonly string[]): Promise<void> {
    const own = [`%DLQ%${name}`, `%RETRY%${name}`, ...topics.flatMap((t) => retryTopicsOf(name, t))]
    for (const address of await this.#leaders()) {
      const answer = await this.#link.call(address, ASK.deleteGroup, { groupName: name, cleanOffset: 'true' })
      if (!isMissingGroup(answer)) checked(answer, `deleting the consumer group ${name}`)
      await Promise.all(own.map((topic) => this.#link.call(address, ASK.deleteTopicAtBroker, { topic })))
    }
  }

  async placed(group: string, topic: string): Promise<'all' | 'some' | 'none'> {
    const found = await Promise.all((await this.#queues(topic)).map((q) => this.#hasPlace(group, q)))
    return found.every(Boolean) ? 'all' : found.some(Boolean) ? 'some' : 'none'
  }

  async place(group: string, topic: string, to: SeekTo, onlyMissing: boolean): Promise<void> {
    const queues = await this.#queues(topic)
    if (to === 'latest') await Promise.all([...new Set(queues.map((q) => q.address))].map((address) => this.#indexed(address)))
    await Promise.all(
      queues.map(async (q) => {
        if (onlyMissing && (await this.#hasPlace(group, q))) return
        await this.#move(group, q, to)
      }),
    )
  }

  async progress(group: string, topic: string): Promise<readonly QueueProgress[]> {
    const found: QueueProgress[] = []
    for (const part of (await this.topic(topic)) ?? []) {
      const answer = await this.#link.call(part.address, ASK.consumeStats, { consumerGroup: group, topic })
      if (answer.code === CODE.topicMissing || isMissingGroup(answer)) continue
      const stats = jsonOf(checked(answer, `how far ${group} has read ${topic}`)) as StatsJson
      for (const [key, at] of Object.entries(stats.offsetTable ?? {})) {
        const queue = JSON.parse(key) as { readonly brokerName: string; readonly queueId: number }
        const next = at.consumerOffset ?? 0
        found.push({
          broker: queue.brokerName,
          queue: queue.queueId,
          end: at.brokerOffset ?? 0,
          next,
          readMs: at.lastTimestamp ?? 0,
        })
      }
    }
    return found
  }

  // -- single queues ------------------------------------------------------------------------------------------------

  async #queues(topic: string): Promise<readonly QueueAt[]> {
    const parts = await this.topic(topic)
    if (parts === null) throw new RocketMqError('TopicMissing', `the topic ${topic} is missing`)
    return parts.flatMap(({ address, readQueues }) =>
      Array.from({ length: readQueues }, (_, queue) => ({ address, topic, queue })),
    )
  }

  async #hasPlace(group: string, { address, topic, queue }: QueueAt): Promise<boolean> {
    const fields = { consumerGroup: group, topic, queueId: String(queue), setZeroIfNotFound: 'false' }
    const answer = await this.#link.call(address, ASK.offset, fields)
    if (answer.code === CODE.noOffset || isMissingGroup(answer)) return false
    checked(answer, `the offset of ${group} in ${topic}`)
    return true
  }

  /**
   * By the broker, which forgets what it has handed out and begins there with the next receive (`useServerSideResetOffset`,
   * on unless set in 5.5). A broker that leaves it to clients gets the offset written under them.
   */
  async #move(group: string, q: QueueAt, to: SeekTo): Promise<void> {
    const offset = await this.#offsetOf(q, to)
    const common = { topic: q.topic, queueId: String(q.queue) }
    const fields = { ...common, group, offset: String(offset), timestamp: '-1', isForce: 'true' }
    const answer = await this.#link.call(q.address, ASK.reset, fields)
    if (answer.code === CODE.ok) return
    if (!LEFT_TO_CLIENTS.includes(answer.code)) checked(answer, `setting ${group} in ${q.topic}`)
    const moved = await this.#link.call(q.address, ASK.moveOffset, {
      ...common,
      consumerGroup: group,
      commitOffset: String(offset),
    })
    checked(moved, `setting ${group} in ${q.topic}`)
  }

  async #offsetOf(q: QueueAt, to: SeekTo): Promise<number> {
    const fields = { topic: q.topic, queueId: String(q.queue) }
    if (to === 'latest') return this.#askOffset(q, ASK.lastOffset, fields)
    return to === 'earliest'
      ? this.#askOffset(q, ASK.firstOffset, fields)
      : this.#askOffset(q, ASK.offsetByTime, { ...fields, timestamp: String(to.timeMs) })
  }

  /**
   * The index of queues is written a moment after messages are acknowledged to their producers: what was stored before this
   * call is waited for, or the end would be before it. A broker that does not tell of itself is not asked twice.
   */
  async #indexed(address: string): Promise<void> {
    const first = await this.#logOf(address)
    const untilMs = performance.now() + INDEXED_WITHIN_MS
    for (let now = first; now !== null && first !== null && now.indexed < first.stored; now = await this.#logOf(address)) {
      if (performance.now() > untilMs) return
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  }

  /** How far the broker has stored and indexed its log, bytes. */
  async #logOf(address: string): Promise<{ readonly stored: number; readonly indexed: number } | null> {
    const answer = await this.#link.call(address, ASK.runtime, {})
    if (answer.code !== CODE.ok) return null
    const table = (jsonOf(answer) as RuntimeJson).table ?? {}
    const stored = Number(table['commitLogMaxOffset'])
    const behind = Number(table['dispatchBehindBytes'])
    return Number.isFinite(stored) && Number.isFinite(behind) ? { stored, indexed: stored - behind } : null
  }

  async #askOffset({ address, topic }: QueueAt, code: number, fields: Command['fields']): Promise<number> {
    const answer = checked(await this.#link.call(address, code, fields), `an offset of ${topic}`)
    return Math.max(0, Number(answer.fields['offset'] ?? 0))
  }

  // -- who is asked -------------------------------------------------------------------------------------------------

  async #askNames(code: number, fields: Command['fields']): Promise<Command> {
    const { nameServers } = this.#s
    for (let tries = 1; ; tries++) {
      try {
        return await this.#link.call(nameServers[this.#turn % nameServers.length] as string, code, fields)
      } catch (e) {
        this.#turn++
        if (tries >= nameServers.length) throw e
      }
    }
  }

  /** The leader of every broker of the cluster. */
  async #leaders(): Promise<readonly string[]> {
    const info = jsonOf(checked(await this.#askNames(ASK.cluster, {}), 'the brokers of the cluster')) as ClusterJson
    const { cluster } = this.#s
    const leaders = Object.values(info.brokerAddrTable ?? {})
      .filter((b) => cluster === '' || b.cluster === cluster)
      .map(leaderOf)
      .filter((address) => address !== '')
    if (leaders.length > 0) return leaders
    const where = cluster === '' ? '' : ` of the cluster ${cluster}`
    throw new RocketMqError('RocketMQUnreachable', `the name server knows no broker${where} that leads`)
  }
}

/** Where the broker keeps what came back unacknowledged: the name of 5.x, and the one of `enableRetryTopicV2`. */
export function retryTopicsOf(group: string, topic: string): readonly string[] {
  return [`%RETRY%${group}_${topic}`, `%RETRY%${group}+${topic}`]
}

interface QueueAt {
  readonly address: string
  readonly topic: string
  readonly queue: number
}
