import type { Key } from '../../contract/ids.ts'
import type { Stream } from '../../contract/stream.ts'
import type { Custody } from '../../store/custody.ts'
import type { StreamParts } from '../parts.ts'
import { createQueueStream } from '../queue/queue-stream.ts'
import type { NatsStreamSettings } from './settings.ts'
import { NatsSystem } from './system.ts'

export interface NatsStreamParts extends StreamParts {
  readonly settings: NatsStreamSettings
  /** Keeps what is given up. */
  readonly custody: Custody
  /** UID of the resource a subscription was made from, '' = it is not known. */
  readonly uidOf: (key: Key) => string
}

/**
 * A stream on NATS JetStream, with the names of Knative's channel and broker on it. It begins at once, connects when it can
 * and never gives up. docs/message-systems.md
 */
export function createNatsStream(parts: NatsStreamParts): Stream {
  const log = parts.log.with({ stream: parts.plan.key })
  const { settings, clock, uidOf } = parts
  const system = new NatsSystem({ settings, clock, log, uidOf })
  return createQueueStream({ ...parts, system, can: { delay: true, seekTime: true, seek: true, exactBacklog: true } })
}
