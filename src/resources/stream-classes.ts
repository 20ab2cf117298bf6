import type { Standing } from './draft.ts'
import { KAFKA } from './kafka-class.ts'
import { NATS } from './nats-class.ts'
import { RABBITMQ } from './rabbitmq-class.ts'
import { ROCKETMQ } from './rocketmq-class.ts'
import type { StreamClass } from './stream-class.ts'

/** Every message system that Brokers and channels can stand on, beside the embedded stream. */
export const STREAM_CLASSES: readonly StreamClass[] = [KAFKA, NATS, RABBITMQ, ROCKETMQ]

export function classOfBroker(brokerClass: string): StreamClass | undefined {
  return STREAM_CLASSES.find((c) => c.brokerClasses.includes(brokerClass))
}

export function classOfChannel(kind: string): StreamClass | undefined {
  return STREAM_CLASSES.find((c) => c.channelKind !== '' && c.channelKind === kind)
}

export function standingOf(of: StreamClass): Standing {
  return { name: of.brokerClasses[0] ?? of.channelKind, can: of.can }
}
