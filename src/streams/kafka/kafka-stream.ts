import { isIP } from 'node:net'
import type { Feed, Intake } from '../../contract/feed.ts'
import type { Key } from '../../contract/ids.ts'
import type { Appended, AppendOptions, Stream, StreamStats } from '../../contract/stream.ts'
import type { CloudEvent } from '../../event/event.ts'
import { assert } from '../../runtime/errors.ts'
import type { Random } from '../../runtime/random.ts'
import { Cluster } from '../../sources/kafka/cluster.ts'
import { Health } from '../../sources/kafka/health.ts'
import type { Memberships } from '../../sources/kafka/memberships.ts'
import { kafkaOptions } from '../../sources/kafka/settings.ts'
import type { Custody } from '../../store/custody.ts'
import { clearScratch, openScratch } from '../../store/scratch.ts'
import { type ClusterView, createTopic } from '../../vendor/kafka/calls.ts'
import { CODE, codeName } from '../../vendor/kafka/codes.ts'
import { KafkaLink, parseBootstrap, troubleOf } from '../../vendor/kafka/link.ts'
import type { StreamParts } from '../parts.ts'
import { topicFeed } from './feed.ts'
import { Keeping } from './kept/keeping.ts'
import { KeptIntake, keptFeed } from './kept/kept-feed.ts'
import { Producer } from './producer.ts'
import { Reading } from './reading.ts'
import { groupOf, type KafkaStreamSettings, type Links, sharedGroup } from './settings.ts'

export interface KafkaStreamParts extends StreamParts {
  readonly settings: KafkaStreamSettings
  readonly random: Random
  /** Keeps what waits long or is given up where the cluster does not let us have topics for it. */
  readonly custody: Custody
  /** For a copy of what is parked, where a person can look at it; made when there is something, and anew at every start. */
  readonly copyDir: string
  readonly memberships: Memberships
  /** UID of the resource a subscription was made from, '' = it is not known. */
  readonly uidOf: (key: Key) => string
}

const REQUEST_TIMEOUT_MS = 10_000
const JOIN_EXTRA_MS = 10_000
/** Every broker takes a batch of so many bytes. */
const BROKER_BATCH_BYTES = 1_048_588
/** What attributes and the batch around it may add to the data of one event. */
const BATCH_EXTRA_BYTES = 128 * 1024
/** What the story of a delivery's attempts may add to its event. */
const KEPT_EXTRA_BYTES = 128 * 1024

/**
 * A stream on one Kafka topic, with the names, records and commits of Knative's Kafka broker and channel, so that either
 * can go on where the other stopped. It begins at once, connects when it can and never gives up. DESIGN §7
 */
export function createKafkaStream(parts: KafkaStreamParts): Stream {
  return new KafkaStream(parts)
}

class KafkaStream implements Stream {
  readonly can = { atomicBatch: false, delay: false, seekTime: true } as const
  readonly #p: KafkaStreamParts
  readonly #health: Health
  readonly #cluster: Cluster
  readonly #links: Links
  readonly #newLink: () => KafkaLink
  readonly #produceLink: KafkaLink
  readonly #producer: Producer
  #reading: Reading | null = null
  #keeping: Keeping | null = null
  #feed: Feed | null = null
  #creating = false
  #closed = false

  constructor(parts: KafkaStreamParts) {
    this.#p = parts
    const { settings, clock, random, plan } = parts
    const log = parts.log.with({ stream: plan.key })
    this.#health = new Health(log, 'Kafka stream')
    const bootstrap = settings.bootstrapServers.map(parseBootstrap)
    const login = {
      clientId: `sluice-${settings.namespace}-${settings.name}`,
      sasl: settings.sasl,
      tls: settings.tls,
      byName: bootstrap.every((b) => isIP(b.host) === 0),
    }
    const options = this.#options()
    const link = (): KafkaLink => new KafkaLink(login, REQUEST_TIMEOUT_MS)
    this.#newLink = link
    const join = new KafkaLink(login, options.rebalanceTimeoutMs + JOIN_EXTRA_MS)
    this.#links = { call: link(), join, head: link(), laggards: link() }
    this.#produceLink = link()
    this.#cluster = new Cluster({
      link: this.#links.call,
      bootstrap,
      topics: options.topics,
      everyMs: options.metadataMs,
      clock,
      random,
      health: this.#health,
      onView: (view) => this.#viewed(view),
    })
    this.#producer = new Producer({
      link: this.#produceLink,
      cluster: this.#cluster,
      topic: settings.topic,
      structured: settings.structured,
      maxEventBytes: plan.maxEventBytes,
      clock,
      random,
      health: this.#health,
      ended: (partition, end) => this.#reading?.ended(partition, end),
      appended: (events, bytes, ms) => parts.observer.appended(parts.id, events.length, bytes, ms, events),
      settle: (d) => this.#feed?.settle(d, 'delivered'),
    })
    this.#cluster.start()
  }

  append(events: readonly CloudEvent[], done: (r: Appended) => void, options: AppendOptions = {}): void {
    this.#producer.append(events, done, options)
  }

  open(into: Intake, signal: AbortSignal): Feed {
    assert(this.#reading === null, 'a stream is opened once')
    const { clock, random, log, settings, custody, uidOf, memberships, plan } = this.#p
    const keeping = this.#newKeeping(into)
    this.#keeping = keeping
    const intake = new KeptIntake(
      into,
      () => keeping,
      (lane) => reading.lanes.partition(lane),
    )
    const options = this.#options()
    const reading: Reading = new Reading(intake, {
      options,
      topic: settings.topic,
      cluster: this.#cluster,
      links: this.#links,
      clock,
      random,
      log: log.with({ stream: plan.key }),
      health: this.#health,
      note: memberships.of(plan.key, options.consumerGroup),
      groupOf: (key) => groupOf(key, uidOf(key), settings),
      starting: () => this.#producer.hold(),
      started: () => this.#producer.release(),
    })
    this.#reading = reading
    const stop = (): void => {
      reading.stop()
      keeping.stop()
    }
    signal.addEventListener('abort', stop, { once: true })
    const inner = topicFeed(reading)
    this.#feed = keptFeed({
      inner,
      local: (keyOf) => custody.wrap(inner, into, keyOf),
      keeping,
      follower: (sub) => reading.follower(sub),
      known: (key) => reading.followers.get(key),
      groupOf: (key) => groupOf(key, uidOf(key), settings),
    })
    clearScratch(this.#p.copyDir)
    keeping.start()
    return this.#feed
  }

  #newKeeping(into: Intake): Keeping {
    const { clock, random, log, settings, plan, copyDir } = this.#p
    const { namespace, name, topic, channel, structured } = settings
    const need = plan.maxEventBytes + BATCH_EXTRA_BYTES
    return new Keeping(into, {
      links: { call: this.#newLink(), fetch: this.#newLink() },
      cluster: this.#cluster,
      clock,
      random,
      log: log.with({ stream: plan.key }),
      health: this.#health,
      main: topic,
      wrap: { namespace, name, topic, keyType: 'string' },
      structured,
      maxBatchBytes: Math.max(need, BROKER_BATCH_BYTES) + KEPT_EXTRA_BYTES,
      groupPrefixes: [channel === '' ? 'knative-trigger-' : `kafka.${channel}.`, `${sharedGroup(topic)}.`],
      openIndex: () => openScratch(copyDir),
    })
  }

  stats(): StreamStats {
    const complaint = this.#health.complaint
    const refusing = this.#closed ? 'the stream is closed' : (complaint?.message ?? '')
    return { events: 0, bytes: 0, oldestMs: 0, refusing }
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#reading?.stop()
    await this.#producer.close(signal)
    // While this gateway still is a member: nobody else reads the retry topics before their positions are told.
    await this.#keeping?.close(signal)
    clearScratch(this.#p.copyDir)
    await this.#reading?.close(signal)
    this.#cluster.close()
    const { call, join, head, laggards } = this.#links
    await Promise.allSettled([this.#produceLink, call, join, head, laggards].map((l) => l.close()))
  }

  #options(): ReturnType<typeof kafkaOptions> {
    const { settings } = this.#p
    return kafkaOptions({
      bootstrapServers: settings.bootstrapServers,
      topics: [settings.topic],
      consumerGroup: sharedGroup(settings.topic),
      initialOffset: 'latest',
      isolation: 'read_uncommitted',
      sasl: settings.sasl,
      tls: settings.tls,
      namespace: settings.namespace,
      name: settings.name,
    })
  }

  #viewed(view: ClusterView): void {
    if (view.topics.get(this.#p.settings.topic)?.code === CODE.unknownTopicOrPartition) void this.#create()
    this.#reading?.viewed(view)
  }

  /** As Knative's control plane makes it. Another gateway may be first. */
  async #create(): Promise<void> {
    const { create, topic } = this.#p.settings
    if (create === null || this.#creating) return
    this.#creating = true
    try {
      const need = this.#p.plan.maxEventBytes + BATCH_EXTRA_BYTES
      const wanted = { name: topic, ...create, maxBatchBytes: need > BROKER_BATCH_BYTES ? need : 0 }
      const { code, message } = await createTopic(this.#links.call, this.#cluster.anyBroker(), wanted)
      if (code === CODE.none || code === CODE.topicAlreadyExists) {
        this.#health.good('create')
        if (code === CODE.none) this.#p.log.info('the topic was made', { topic, ...create })
        this.#cluster.refreshSoon()
      } else {
        const why = `topic ${topic} is missing and cannot be made: ${codeName(code)} ${message}`.trim()
        this.#health.bad('create', 'TopicNotMade', why)
      }
    } catch (e) {
      this.#p.log.warn('a topic could not be made', { topic, error: troubleOf(e).message })
    } finally {
      this.#creating = false
    }
  }
}
