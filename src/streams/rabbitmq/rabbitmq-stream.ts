import type { Key } from '../../contract/ids.ts'
import type { Stream } from '../../contract/stream.ts'
import type { Random } from '../../runtime/random.ts'
import type { Custody } from '../../store/custody.ts'
import type { StreamParts } from '../parts.ts'
import { createQueueStream } from '../queue/queue-stream.ts'
import type { RabbitMqStreamSettings } from './settings.ts'
import { RabbitMqSystem } from './system.ts'

export interface RabbitMqStreamParts extends StreamParts {
  readonly settings: RabbitMqStreamSettings
  readonly random: Random
  /** Keeps what is given up, and what waits long where RabbitMQ does not take it. */
  readonly custody: Custody
  /** UID of the resource a subscription was made from, '' = it is not known. */
  readonly uidOf: (key: Key) => string
}

/** A stream on one exchange of RabbitMQ, with the names and messages of eventing-rabbitmq. It begins at once and never gives up. */
export function createRabbitMqStream(parts: RabbitMqStreamParts): Stream {
  const { settings, clock, random, uidOf } = parts
  const log = parts.log.with({ stream: parts.plan.key })
  return createQueueStream({
    ...parts,
    system: new RabbitMqSystem({ settings, clock, random, log, uidOf }),
    can: { delay: true, lease: true, release: true, ordered: true },
    noSeek: 'a queue of RabbitMQ holds what is not settled yet and nothing else: it cannot be read anew',
  })
}
