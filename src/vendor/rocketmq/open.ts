import type { ClientDuplexStream } from '@grpc/grpc-js'
import type { Broker, ConsumerSettings, Handle, Joined, RocketMqConsumer } from './consumer.ts'
import { addressOf, endpointsOf, targetOf, type Address } from './addresses.ts'
import { check, errorOfCall, errorOfStatus, RocketMqError, type StatusLike } from './errors.ts'
import { RocketMqLink } from './link.ts'
import { receivedMessage, type ReceivedMessage } from './messages.ts'
import {
  createDuration,
  createResource,
  definition,
  service,
  type AckMessageResponse,
  type ChangeInvisibleDurationResponse,
  type HeartbeatResponse,
  type MessageQueue,
  type NotifyClientTerminationResponse,
  type QueryRouteResponse,
  type ReceiveMessageResponse,
  type Settings,
  type TelemetryCommand,
} from './protocol.ts'
import { aborted } from '../../runtime/ending.ts'

const CALL_MS = 5_000
/** A receive's deadline is so much later than the wait the proxy was asked for. */
const RECEIVE_GRACE_MS = 5_000
/** Older proxies do not answer the settings of a group they do not know. */
const SETTINGS_MS = 8_000

type Telemetry = ClientDuplexStream<TelemetryCommand, TelemetryCommand>

/** A consumer that is connected with its first `join`. */
export function openConsumer(settings: ConsumerSettings): RocketMqConsumer {
  return new GrpcConsumer(settings)
}

class GrpcConsumer implements RocketMqConsumer {
  readonly #s: ConsumerSettings
  readonly #link: RocketMqLink
  readonly #access: readonly Address[]
  readonly #queues = new Map<string, MessageQueue>()
  #telemetry: Telemetry[] = []
  #lost: (why: Error) => void = () => {}
  /** Which of the endpoints is asked; the next one after a failure. */
  #turn = 0

  constructor(s: ConsumerSettings) {
    this.#s = s
    this.#link = new RocketMqLink(s.namespace, s.credentials, s.tls)
    this.#access = s.endpoints.map(addressOf)
  }

  onLost(f: (why: Error) => void): void {
    this.#lost = f
  }

  async join(): Promise<Joined> {
    this.#endTelemetry()
    const route = await this.#route()
    const brokers = this.#brokersOf(route)
    const targets = [...new Set(brokers.map((b) => b.target))]
    const settings = await Promise.all(targets.map((target) => this.#introduce(target)))
    const told = settings.map((s) => s.getBackoffPolicy()?.getMaxAttempts() ?? 0).filter((n) => n > 0)
    const fifo = definition.MessageType.FIFO
    return {
      brokers,
      fifo: settings.some((s) => s.getSubscription()?.getFifo() === true),
      fifoTopic: route.some((q) => q.getAcceptMessageTypesList().includes(fifo)),
      maxAttempts: told.length === 0 ? 0 : Math.min(...told),
    }
  }

  async brokers(): Promise<readonly Broker[]> {
    return this.#brokersOf(await this.#route())
  }

  async heartbeat(): Promise<void> {
    const targets = new Set([...this.#queues.keys()].map(targetOfKey))
    const request = new service.HeartbeatRequest()
      .setClientType(definition.ClientType.SIMPLE_CONSUMER)
      .setGroup(createResource(this.#s.group))
    for (const target of targets) {
      const answer = await this.#link.call<HeartbeatResponse>(target, CALL_MS, (c, m, o, done) =>
        c.heartbeat(request, m, o, done),
      )
      check(answer.getStatus()?.toObject())
    }
  }

  receive(from: Broker, most: number, invisibleMs: number, signal: AbortSignal): Promise<readonly ReceivedMessage[]> {
    const queue = this.#queues.get(keyOf(from))
    if (queue === undefined) return Promise.reject(new RocketMqError('RocketMQFailed', `${from.name} is no broker of the topic`))
    const request = new service.ReceiveMessageRequest()
      .setGroup(createResource(this.#s.group))
      .setMessageQueue(queue)
      .setFilterExpression(this.#filter())
      .setLongPollingTimeout(createDuration(this.#s.waitMs))
      .setBatchSize(most)
      .setAutoRenew(false)
      .setInvisibleDuration(createDuration(invisibleMs))
    return new Promise((resolve, reject) => {
      const found: ReceivedMessage[] = []
      let status: StatusLike | undefined
      const deadline = Date.now() + this.#s.waitMs + RECEIVE_GRACE_MS
      const call = this.#link.channel(from.target).receiveMessage(request, this.#link.metadata(), { deadline })
      const abort = (): void => call.cancel()
      const end = (failure: Error | null): void => {
        signal.removeEventListener('abort', abort)
        // What has come is leased to us already: it must not get lost with the rest.
        if (failure === null || found.length > 0) resolve(found)
        else reject(failure)
      }
      call.on('data', (part: ReceiveMessageResponse) => {
        if (part.hasStatus()) status = part.getStatus()?.toObject()
        const message = part.getMessage()
        if (message !== undefined) found.push(receivedMessage(message))
      })
      call.on('error', (e) => end(errorOfCall(e, from.target)))
      call.on('end', () => end(errorOfStatus(status)))
      if (signal.aborted) abort()
      else signal.addEventListener('abort', abort, { once: true })
    })
  }

  async acknowledge(at: Broker, messages: readonly Handle[]): Promise<readonly (Error | null)[]> {
    const request = new service.AckMessageRequest()
      .setGroup(createResource(this.#s.group))
      .setTopic(createResource(this.#s.topic))
    for (const m of messages) request.addEntries().setMessageId(m.messageId).setReceiptHandle(m.handle)
    const answer = await this.#link.call<AckMessageResponse>(at.target, CALL_MS, (c, m, o, done) =>
      c.ackMessage(request, m, o, done),
    )
    const all = answer.getStatus()?.toObject()
    const entries = answer.getEntriesList()
    if (entries.length === 0) check(all)
    const byHandle = new Map(entries.map((e) => [e.getReceiptHandle(), errorOfStatus(e.getStatus()?.toObject())]))
    return messages.map((m) => byHandle.get(m.handle) ?? null)
  }

  async changeInvisible(at: Broker, message: Handle, invisibleMs: number): Promise<string> {
    const request = new service.ChangeInvisibleDurationRequest()
      .setGroup(createResource(this.#s.group))
      .setTopic(createResource(this.#s.topic))
      .setReceiptHandle(message.handle)
      .setInvisibleDuration(createDuration(invisibleMs))
      .setMessageId(message.messageId)
    const answer = await this.#link.call<ChangeInvisibleDurationResponse>(at.target, CALL_MS, (c, m, o, done) =>
      c.changeInvisibleDuration(request, m, o, done),
    )
    check(answer.getStatus()?.toObject())
    return answer.getReceiptHandle()
  }

  async close(signal: AbortSignal): Promise<void> {
    const bye = new service.NotifyClientTerminationRequest().setGroup(createResource(this.#s.group))
    const targets = [...new Set([...this.#queues.keys()].map(targetOfKey))]
    const said = Promise.all(
      targets.map((target) =>
        this.#link
          .call<NotifyClientTerminationResponse>(target, CALL_MS, (c, m, o, done) => c.notifyClientTermination(bye, m, o, done))
          .catch(() => null),
      ),
    )
    await Promise.race([said, aborted(signal)])
    this.#endTelemetry()
    this.#link.close()
  }

  async #route(): Promise<readonly MessageQueue[]> {
    const target = targetOf([this.#access[this.#turn % this.#access.length] as Address])
    const request = new service.QueryRouteRequest()
      .setTopic(createResource(this.#s.topic))
      .setEndpoints(endpointsOf(this.#access))
    try {
      const answer = await this.#link.call<QueryRouteResponse>(target, CALL_MS, (c, m, o, done) =>
        c.queryRoute(request, m, o, done),
      )
      check(answer.getStatus()?.toObject())
      return answer.getMessageQueuesList()
    } catch (e) {
      this.#turn++
      throw e
    }
  }

  /** One readable queue of each leading broker stands for all of its queues. */
  #brokersOf(route: readonly MessageQueue[]): readonly Broker[] {
    const { READ, READ_WRITE } = definition.Permission
    const found = new Map<string, Broker>()
    for (const queue of route) {
      const broker = queue.getBroker()
      const permission = queue.getPermission()
      if (broker === undefined || broker.getId() !== 0 || (permission !== READ && permission !== READ_WRITE)) continue
      const addresses = (broker.getEndpoints()?.getAddressesList() ?? []).map((a) => ({ host: a.getHost(), port: a.getPort() }))
      const b: Broker = { name: broker.getName(), target: targetOf(addresses) }
      if (found.has(keyOf(b))) continue
      found.set(keyOf(b), b)
      this.#queues.set(keyOf(b), queue)
    }
    if (found.size === 0) throw new RocketMqError('TopicMissing', `the topic ${this.#s.topic} has no queue that can be read`)
    return [...found.values()]
  }

  /** Opens the stream over which proxy and client tell each other their settings, and waits for the proxy's. */
  #introduce(target: string): Promise<Settings> {
    return new Promise((resolve, reject) => {
      const stream = this.#link.channel(target).telemetry(this.#link.metadata())
      let known = false
      const fail = (e: Error): void => {
        clearTimeout(timer)
        stream.cancel()
        if (!known) return reject(e)
        if (this.#telemetry.includes(stream)) this.#lost(e)
      }
      const timer = setTimeout(() => fail(this.#noAnswer(target)), SETTINGS_MS)
      timer.unref()
      stream.on('data', (command: TelemetryCommand) => {
        const refused = errorOfStatus(command.getStatus()?.toObject())
        if (refused !== null) return fail(refused)
        const settings = command.getSettings()
        if (settings === undefined || known) return
        known = true
        clearTimeout(timer)
        resolve(settings)
      })
      stream.on('error', (e) => fail(errorOfCall(e, target)))
      stream.on('end', () => fail(new RocketMqError('RocketMQUnreachable', `${target} has closed the connection`)))
      this.#telemetry.push(stream)
      stream.write(new service.TelemetryCommand().setSettings(this.#settings()))
    })
  }

  #noAnswer(target: string): RocketMqError {
    const why = `${target} did not answer within ${SETTINGS_MS} ms who the consumer group ${this.#s.group} is; it has to be created first`
    return new RocketMqError('GroupMissing', why)
  }

  #settings(): Settings {
    const subscription = new definition.Subscription()
      .setGroup(createResource(this.#s.group))
      .setLongPollingTimeout(createDuration(this.#s.waitMs))
    subscription.addSubscriptions().setTopic(createResource(this.#s.topic)).setExpression(this.#filter())
    return new definition.Settings()
      .setClientType(definition.ClientType.SIMPLE_CONSUMER)
      .setAccessPoint(endpointsOf(this.#access))
      .setRequestTimeout(createDuration(CALL_MS))
      .setSubscription(subscription)
      .setUserAgent(new definition.UA().setLanguage(definition.Language.NODE_JS).setVersion('5.0.8'))
  }

  #filter(): InstanceType<typeof definition.FilterExpression> {
    const { kind, expression } = this.#s.filter
    const type = kind === 'sql' ? definition.FilterType.SQL : definition.FilterType.TAG
    return new definition.FilterExpression().setType(type).setExpression(expression)
  }

  #endTelemetry(): void {
    const streams = this.#telemetry
    this.#telemetry = []
    for (const s of streams) s.cancel()
  }
}

const keyOf = (b: Broker): string => `${b.name} ${b.target}`
const targetOfKey = (key: string): string => key.slice(key.indexOf(' ') + 1)
