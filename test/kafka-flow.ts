import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunningGateway } from './gateway.ts'
import type { KafkaTestClient } from './servers/kafka-clients.ts'
import type { Sink } from './sink.ts'

/** A KafkaSource of the newest spelling, from the beginning of its topic, unordered unless said. */
export function kafkaSource(
  name: string,
  o: {
    readonly bootstrap: string
    readonly topic: string
    readonly group: string
    readonly sink: unknown
    readonly ordering?: 'ordered' | 'unordered'
    readonly annotations?: Readonly<Record<string, string>>
    readonly delivery?: unknown
  },
): unknown {
  return {
    apiVersion: 'sources.knative.dev/v1',
    kind: 'KafkaSource',
    metadata: { name, annotations: o.annotations ?? {} },
    spec: {
      bootstrapServers: o.bootstrap.split(','),
      topics: [o.topic],
      consumerGroup: o.group,
      initialOffset: 'earliest',
      ordering: o.ordering ?? 'unordered',
      sink: o.sink,
      ...(o.delivery === undefined ? {} : { delivery: o.delivery }),
    },
  }
}

/** A record that is a CloudEvent in binary mode. */
export function eventRecord(id: string, partition: number, key = ''): Parameters<KafkaTestClient['produce']>[1][number] {
  return {
    value: Buffer.from('{}'),
    headers: Object.entries({ ce_specversion: '1.0', ce_id: id, ce_source: '/kafka', ce_type: 'test.event' }),
    partition,
    ...(key === '' ? {} : { key: Buffer.from(key) }),
  }
}

/** The sessions of a gateway that was killed are over: what Kafka sees by itself after ten seconds. */
export async function endSessions(client: KafkaTestClient, killed: RunningGateway): Promise<void> {
  const notes = JSON.parse(readFileSync(join(killed.data, 'kafka-members.json'), 'utf8')) as Record<string, string>
  for (const [name, memberId] of Object.entries(notes)) await client.expel(name.slice(name.indexOf(' ') + 1), memberId)
}

/** Twenty events every 25 ms over four partitions until it is stopped; `sent` are the ids Kafka acknowledged. */
export function produceSteadily(
  client: KafkaTestClient,
  topic: string,
): { readonly sent: ReadonlySet<string>; stop(): Promise<void> } {
  const sent = new Set<string>()
  const over = new AbortController()
  const done = (async () => {
    for (let n = 0; !over.signal.aborted;) {
      const ids = Array.from({ length: 20 }, () => `e${n++}`)
      const records = ids.map((id, i) => eventRecord(id, i % 4))
      const ok = await client.produce(topic, records).then(
        () => true,
        () => false,
      )
      for (const id of ok ? ids : []) sent.add(id)
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  })()
  return {
    sent,
    async stop() {
      over.abort()
      await done
    },
  }
}

export function missing(sent: ReadonlySet<string>, sink: Sink): string[] {
  const counts = sink.counts()
  return [...sent].filter((id) => !counts.has(id))
}

/** Deliveries beyond the first one of each event. */
export function duplicates(sink: Sink): number {
  return [...sink.counts().values()].reduce((sum, n) => sum + n - 1, 0)
}

/** Requests between two instants of `performance.now()`. */
export function seenBetween(sink: Sink, fromMs: number, toMs: number): number {
  return sink.seen.filter((s) => s.atMs > fromMs && s.atMs <= toMs).length
}
