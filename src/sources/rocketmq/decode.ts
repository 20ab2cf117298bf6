import type { CloudEvent, Extension } from '../../event/event.ts'
import { fromRocketMqMessage, wrapRocketMqMessage } from '../../event/rocketmq.ts'
import type { ReceivedMessage } from '../../vendor/rocketmq/messages.ts'
import type { Decoded } from './member.ts'

const EVENT_TYPE = 'dev.knative.rocketmq.event'
const NO_BYTES = new Uint8Array(0)

/** What messages are to a source: events as they are, anything else wrapped, `ceOverrides` set over both. */
export function decoderOf(o: {
  readonly instance: string
  readonly extensions: Readonly<Record<string, string>>
}): (m: ReceivedMessage, nowMs: number) => Decoded {
  const overrides: readonly Extension[] = Object.entries(o.extensions)
  return (m, nowMs) => {
    if (m.unreadable !== '') return unreadable(m)
    const event = sourceEventOf(m, o.instance, nowMs)
    return { event: overrides.length === 0 ? event : overridden(event, overrides), undecodable: null, state: null }
  }
}

export function sourceEventOf(m: ReceivedMessage, instance: string, nowMs: number): CloudEvent {
  return (
    fromRocketMqMessage(m, nowMs) ??
    wrapRocketMqMessage(m, { messageId: m.messageId, instance, type: EVENT_TYPE, bornMs: m.bornMs }, nowMs)
  )
}

/** Its bytes are kept as they came. */
export function unreadable(m: ReceivedMessage): Decoded {
  const headers = Object.entries(m.properties)
  return { event: null, undecodable: { raw: m.body ?? NO_BYTES, headers, why: m.unreadable }, state: null }
}

/** What `ceOverrides` asks for: the extension is set, whatever it was before. */
function overridden(event: CloudEvent, overrides: readonly Extension[]): CloudEvent {
  const kept = event.extensions.filter(([name]) => !overrides.some(([over]) => over === name))
  return event.with({ extensions: [...kept, ...overrides] })
}
