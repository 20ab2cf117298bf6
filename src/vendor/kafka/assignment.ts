import type { ClusterMetadata, ExtendedGroupProtocolSubscription } from '@platformatic/kafka'
import type { TopicPartitions } from './calls.ts'
import { kafkaLibrary } from './library.ts'

/** Name of the assignment protocol: only partitions that move are taken away, all others flow on. KIP-429 */
export const COOPERATIVE_STICKY = 'cooperative-sticky'

/** Version 3 carries what is owned and by which generation, as the Java client writes it. */
const PROTOCOL_VERSION = 3

export function encodeSubscription(topics: readonly string[], owned: readonly TopicPartitions[], generation: number): Buffer {
  return kafkaLibrary().encodeConsumerProtocolSubscription({
    version: PROTOCOL_VERSION,
    topics: [...topics],
    ownedPartitions: owned.map((t) => ({ topic: t.topic, partitions: [...t.partitions] })),
    generationId: owned.length === 0 ? -1 : generation,
    rackId: null,
  })
}

export function decodeAssignment(bytes: Buffer): readonly TopicPartitions[] {
  return kafkaLibrary().decodeConsumerProtocolAssignment(bytes).assignedPartitions
}

/** What the leader of the group does: shares out the partitions, moving as few as possible. */
export function assign(
  members: readonly { readonly memberId: string; readonly subscription: Buffer }[],
  partitionsOf: (topic: string) => number,
): readonly { readonly memberId: string; readonly assignment: Buffer }[] {
  const known = new Map<string, ExtendedGroupProtocolSubscription>()
  const topics = new Set<string>()
  for (const m of members) {
    const s = kafkaLibrary().decodeConsumerProtocolSubscription(m.subscription)
    for (const topic of s.topics) topics.add(topic)
    known.set(m.memberId, {
      memberId: m.memberId,
      version: s.version,
      topics: s.topics,
      ownedPartitions: s.ownedPartitions,
      generationId: s.generationId,
    })
  }
  const existing = [...topics].filter((t) => partitionsOf(t) > 0)
  const metadata = {
    topics: new Map(existing.map((t) => [t, { partitionsCount: partitionsOf(t) }])),
  } as unknown as ClusterMetadata
  return kafkaLibrary()
    .cooperativeStickyAssigner('', known, new Set(existing), metadata)
    .map((a) => ({
      memberId: a.memberId,
      assignment: kafkaLibrary().encodeConsumerProtocolAssignment({
        version: PROTOCOL_VERSION,
        assignedPartitions: [...a.assignments.values()],
      }),
    }))
}
