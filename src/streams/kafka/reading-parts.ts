import type { Key } from '../../contract/ids.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import type { Cluster } from '../../sources/kafka/cluster.ts'
import type { Health } from '../../sources/kafka/health.ts'
import type { MemberNote } from '../../sources/kafka/memberships.ts'
import type { KafkaOptions } from '../../sources/kafka/settings.ts'
import type { Links } from './settings.ts'

/** What the reading half of a stream on Kafka is built from. */
export interface ReadingParts {
  readonly options: KafkaOptions
  readonly topic: string
  readonly cluster: Cluster
  readonly links: Links
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly health: Health
  readonly note: MemberNote
  groupOf(key: Key): string
  /** A start is being looked for: what is appended from now on must come after it. Called in pairs. */
  starting(): void
  started(): void
}
