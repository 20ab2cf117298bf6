import type { DetachedState } from '../../../src/contract/delivery.ts'
import { RocketMqError } from '../../../src/vendor/rocketmq/errors.ts'
import type { GroupSeen, QueueProgress, RocketMqAdmin, SeekTo, TopicPart, TopicType } from '../../../src/vendor/rocketmq/admin.ts'
import type { ReceivedMessage } from '../../../src/vendor/rocketmq/messages.ts'
import type { OutMessage, RocketMqProducer } from '../../../src/vendor/rocketmq/producer.ts'

/** What the proxy takes. */
const MOST_PROPERTIES = 128
const MOST_PROPERTY_BYTES = 16_384

/** A message as a consumer gets it, refused and changed as RocketMQ refuses and changes. */
export function received(m: OutMessage, n = 1): ReceivedMessage {
  const refuse = (why: string): never => {
    throw new RocketMqError('RocketMQFailed', why)
  }
  let bytes = 0
  const properties: Record<string, string> = {}
  for (const [name, value] of Object.entries(m.properties)) {
    if (['TAGS', 'KEYS', 'DELAY', '__SHARDINGKEY'].includes(name)) refuse(`property is used by system: ${name}`)
    if (/\p{Cc}/u.test(name + value)) refuse('the value of property cannot contain control character')
    bytes += Buffer.byteLength(name + value)
    // Dropped without a word.
    if (value !== '') properties[name] = value
  }
  if (Object.keys(m.properties).length > MOST_PROPERTIES) refuse('too many user properties')
  if (bytes > MOST_PROPERTY_BYTES) refuse('the total size of user property is too large')
  if (m.body.length === 0) refuse('message body cannot be empty')
  if (m.group.length > 64) refuse('message group is too long')
  if (m.group !== '') properties['__SHARDINGKEY'] = m.group
  return {
    messageId: `m${n}`,
    topic: m.topic,
    tag: m.tag,
    keys: '',
    properties,
    body: m.body,
    attempt: 1,
    handle: `h${n}`,
    bornMs: 0,
    unreadable: '',
  }
}

/** Keeps what was sent, call by call. */
export class ProducerDouble implements RocketMqProducer {
  mostBodyBytes = 4 * 2 ** 20
  readonly calls: (readonly OutMessage[])[] = []
  closed = false
  /** Why a call fails. */
  trouble: (messages: readonly OutMessage[]) => Error | null = () => null
  /** Held back calls, to be let go one by one. */
  hold: (() => void)[] | null = null

  async send(messages: readonly OutMessage[]): Promise<void> {
    this.calls.push(messages)
    if (this.hold !== null) await new Promise<void>((resolve) => this.hold?.push(resolve))
    const trouble = this.trouble(messages)
    if (trouble !== null) throw trouble
    for (const m of messages) received(m)
  }
  async reach(): Promise<void> {
    const trouble = this.trouble([])
    if (trouble !== null) throw trouble
  }
  close(): void {
    this.closed = true
  }
  get sent(): readonly OutMessage[] {
    return this.calls.flat()
  }
}

/** A RocketMQ whose topics and groups are names. */
export class AdminDouble implements RocketMqAdmin {
  readonly topics = new Map<string, TopicType>()
  readonly made = new Map<string, GroupSeen>()
  /** `<group> <topic>` → where it begins. */
  readonly places = new Map<string, SeekTo>()
  readonly deleted: string[] = []
  unread: readonly QueueProgress[] = []
  onPlace: () => void = () => {}
  trouble: Error | null = null
  closed = false

  topic(name: string): Promise<readonly TopicPart[] | null> {
    return this.#do(() => (this.topics.has(name) ? [{ broker: 'a', address: 'a:1', readQueues: 1 }] : null))
  }
  makeTopic(name: string, { type }: { readonly type: TopicType }): Promise<void> {
    return this.#do(() => void this.topics.set(name, type))
  }
  deleteTopic(name: string): Promise<void> {
    return this.#do(() => void this.topics.delete(name))
  }
  group(name: string): Promise<GroupSeen | null> {
    return this.#do(() => this.made.get(name) ?? null)
  }
  groups(): Promise<readonly string[]> {
    return this.#do(() => [...this.made.keys()])
  }
  makeGroup(name: string, o: GroupSeen): Promise<void> {
    return this.#do(() => void this.made.set(name, o))
  }
  deleteGroup(name: string): Promise<void> {
    return this.#do(() => void this.deleted.push(name))
  }
  placed(group: string, topic: string): Promise<'all' | 'some' | 'none'> {
    return this.#do(() => (this.places.has(`${group} ${topic}`) ? 'all' : 'none'))
  }
  place(group: string, topic: string, to: SeekTo): Promise<void> {
    this.onPlace()
    return this.#do(() => void this.places.set(`${group} ${topic}`, to))
  }
  progress(_group: string, topic: string): Promise<readonly QueueProgress[]> {
    return this.#do(() => (topic.startsWith('%RETRY%') ? [] : this.unread))
  }
  close(): void {
    this.closed = true
  }

  #do<T>(f: () => T): Promise<T> {
    return this.trouble === null ? Promise.resolve().then(f) : Promise.reject(this.trouble)
  }
}

export const STATE: DetachedState = {
  dueMs: 1_700_000_060_000,
  story: [{ attempt: 1, atMs: 5, tookMs: 7, to: 'http://sink', status: 503, error: 'büsy\n' }],
  phase: 'subscriber',
  reason: '',
}
