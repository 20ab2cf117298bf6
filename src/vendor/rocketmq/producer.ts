import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { addressOf, endpointsOf, targetOf, type Address } from './addresses.ts'
import { check, errorOfCall, errorOfStatus, RocketMqError } from './errors.ts'
import { RocketMqLink, type RocketMqCredentials, type RocketMqTls } from './link.ts'
import {
  createResource,
  definition,
  service,
  type Message,
  type QueryRouteResponse,
  type SendMessageResponse,
  type Settings,
  type TelemetryCommand,
} from './protocol.ts'

export interface ProducerSettings {
  /** `host:port` of proxies, tried in turn. */
  readonly endpoints: readonly string[]
  readonly credentials: RocketMqCredentials | null
  /** null = no TLS. */
  readonly tls: RocketMqTls | null
  /** Of the RocketMQ instance, '' = none. */
  readonly namespace: string
}

export interface OutMessage {
  readonly topic: string
  /** '' = none. */
  readonly tag: string
  /** None may be empty: such a one is dropped without a word. */
  readonly properties: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** Message group of a FIFO topic, '' = none. */
  readonly group: string
  /** Of a DELAY topic, wall clock ms: not handed out before; 0 = none. */
  readonly deliverAtMs: number
}

/** Sends over the proxy's gRPC protocol. Made by `openProducer`; tests have a double. */
export interface RocketMqProducer {
  /**
   * One call; resolves when all of them are stored, rejects with a RocketMqError when they may not be. Several at once have
   * one topic, and neither group nor time: the proxy puts them into one queue.
   */
  send(messages: readonly OutMessage[]): Promise<void>
  /** Resolves when the topic is there and a proxy says where to send for it. */
  reach(topic: string): Promise<void>
  /** The largest body the proxy takes, bytes; asked for once. */
  readonly mostBodyBytes: number
  close(): void
}

const CALL_MS = 5_000
const SEND_MS = 10_000
const ROUTE_MS = 30_000
/** RocketMQ's own default, until the proxy has told its own. */
const MOST_BODY_BYTES = 4 * 2 ** 20

export function openProducer(s: ProducerSettings): RocketMqProducer {
  return new GrpcProducer(s)
}

interface Route {
  readonly atMs: number
  /** gRPC targets of the leaders that take messages. */
  readonly targets: readonly string[]
}

class GrpcProducer implements RocketMqProducer {
  readonly #link: RocketMqLink
  readonly #access: readonly Address[]
  readonly #namespace: string
  readonly #routes = new Map<string, Promise<Route>>()
  mostBodyBytes = MOST_BODY_BYTES
  #turn = 0
  #told = false

  constructor(s: ProducerSettings) {
    this.#link = new RocketMqLink(s.namespace, s.credentials, s.tls)
    this.#access = s.endpoints.map(addressOf)
    this.#namespace = s.namespace
  }

  async send(messages: readonly OutMessage[]): Promise<void> {
    const [first] = messages
    if (first === undefined) return
    const { targets } = await this.#route(first.topic)
    const target = targets[this.#turn++ % targets.length] as string
    if (!this.#told) void this.#ask(target, first.topic)
    const request = new service.SendMessageRequest()
    const topic = createResource(first.topic)
    topic.setResourceNamespace(this.#namespace)
    // Both are only read, so all of a call share them.
    const born = stampOf(Date.now())
    request.setMessagesList(messages.map((m) => messageOf(m, topic, born)))
    try {
      const answer = await this.#link.call<SendMessageResponse>(target, SEND_MS, (c, m, o, done) =>
        c.sendMessage(request, m, o, done),
      )
      check(answer.getStatus()?.toObject())
      for (const entry of answer.getEntriesList()) check(entry.getStatus()?.toObject())
    } catch (e) {
      // It may have moved, or be gone.
      this.#routes.delete(first.topic)
      throw e
    }
  }

  async reach(topic: string): Promise<void> {
    await this.#route(topic)
  }

  close(): void {
    this.#link.close()
  }

  #route(topic: string): Promise<Route> {
    const known = this.#routes.get(topic)
    if (known !== undefined) return known
    const asked = this.#askRoute(topic)
    this.#routes.set(topic, asked)
    asked.then(
      () => {
        const old = setTimeout(() => {
          if (this.#routes.get(topic) === asked) this.#routes.delete(topic)
        }, ROUTE_MS)
        old.unref()
      },
      () => this.#routes.delete(topic),
    )
    return asked
  }

  async #askRoute(topic: string): Promise<Route> {
    const at = this.#access[this.#turn++ % this.#access.length] as Address
    const request = new service.QueryRouteRequest().setTopic(createResource(topic)).setEndpoints(endpointsOf(this.#access))
    const answer = await this.#link.call<QueryRouteResponse>(targetOf([at]), CALL_MS, (c, m, o, done) =>
      c.queryRoute(request, m, o, done),
    )
    check(answer.getStatus()?.toObject())
    const { WRITE, READ_WRITE } = definition.Permission
    const targets = new Set<string>()
    for (const queue of answer.getMessageQueuesList()) {
      const broker = queue.getBroker()
      const permission = queue.getPermission()
      if (broker === undefined || broker.getId() !== 0 || (permission !== WRITE && permission !== READ_WRITE)) continue
      const addresses = (broker.getEndpoints()?.getAddressesList() ?? []).map((a) => ({ host: a.getHost(), port: a.getPort() }))
      targets.add(targetOf(addresses))
    }
    if (targets.size === 0) throw new RocketMqError('TopicMissing', `the topic ${topic} has no queue that can be written`)
    return { atMs: performance.now(), targets: [...targets] }
  }

  /** How large a body may be; without an answer the default stands. */
  async #ask(target: string, topic: string): Promise<void> {
    this.#told = true
    const publishing = new definition.Publishing().setTopicsList([createResource(topic)]).setValidateMessageType(true)
    const settings = new definition.Settings()
      .setClientType(definition.ClientType.PRODUCER)
      .setAccessPoint(endpointsOf(this.#access))
      .setPublishing(publishing)
      .setUserAgent(new definition.UA().setLanguage(definition.Language.NODE_JS).setVersion('5.0.8'))
    const told = await new Promise<Settings | undefined>((resolve) => {
      const stream = this.#link.channel(target).telemetry(this.#link.metadata(), { deadline: Date.now() + CALL_MS })
      stream.on('data', (command: TelemetryCommand) => {
        const refused = errorOfStatus(command.getStatus()?.toObject())
        if (refused === null && !command.hasSettings()) return
        resolve(command.getSettings())
        stream.cancel()
      })
      stream.on('error', (e) => resolve(void errorOfCall(e, target)))
      stream.on('end', () => resolve(undefined))
      stream.write(new service.TelemetryCommand().setSettings(settings))
    })
    const bytes = told?.getPublishing()?.getMaxBodySize() ?? 0
    if (bytes > 0) this.mostBodyBytes = bytes
  }
}

const HOST = hostname()
const STARTED_S = Math.floor(Date.now() / 1_000) >>> 0
const ID_PREFIX = `01${randomBytes(6).toString('hex')}${hex(process.pid & 0xff_ff, 4)}${hex(STARTED_S, 8)}`.toUpperCase()
let ids = 0

/** 17 bytes in hexadecimal, as RocketMQ's clients make them: version, host, process, second of its start, number. */
function newId(): string {
  ids = (ids + 1) >>> 0
  return ID_PREFIX + ids.toString(16).toUpperCase().padStart(8, '0')
}

function hex(n: number, digits: number): string {
  return n.toString(16).padStart(digits, '0')
}

function messageOf(m: OutMessage, topic: Resource, born: Timestamp): Message {
  const { NORMAL, FIFO, DELAY } = definition.MessageType
  const system = new definition.SystemProperties()
    .setMessageId(newId())
    .setBornTimestamp(born)
    .setBornHost(HOST)
    .setBodyEncoding(definition.Encoding.IDENTITY)
    .setMessageType(m.group === '' ? (m.deliverAtMs === 0 ? NORMAL : DELAY) : FIFO)
  if (m.tag !== '') system.setTag(m.tag)
  if (m.group !== '') system.setMessageGroup(m.group)
  if (m.deliverAtMs !== 0) system.setDeliveryTimestamp(stampOf(m.deliverAtMs))
  const message = new definition.Message().setTopic(topic).setBody(m.body).setSystemProperties(system)
  const properties = message.getUserPropertiesMap()
  for (const name in m.properties) properties.set(name, m.properties[name] as string)
  return message
}

type Resource = ReturnType<typeof createResource>

interface Timestamp {
  setSeconds(seconds: number): void
  setNanos(nanos: number): void
}

/** The class of an empty `born_timestamp` (field 7): the library that has it is the client's, not ours to import. */
const TimestampClass = definition.SystemProperties.deserializeBinary(Uint8Array.of(0x3a, 0)).getBornTimestamp()
  ?.constructor as new () => Timestamp

function stampOf(ms: number): Timestamp {
  const stamp = new TimestampClass()
  stamp.setSeconds(Math.floor(ms / 1_000))
  stamp.setNanos((ms % 1_000) * 1_000_000)
  return stamp
}
