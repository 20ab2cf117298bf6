import { gunzipSync } from 'node:zlib'
import { definition, type Message } from './protocol.ts'

/** A message as it was received, with what is needed to answer for it. */
export interface ReceivedMessage {
  /** Stays the same when it is delivered again; its offset does not. */
  readonly messageId: string
  readonly topic: string
  readonly tag: string
  /** Separated by blanks. */
  readonly keys: string
  readonly properties: Readonly<Record<string, string>>
  readonly body: Uint8Array | null
  /** Counts from 1. */
  readonly attempt: number
  /** Stands for this delivery; every change of the invisible time gives another one. */
  readonly handle: string
  /** Wall clock ms, 0 = not known. */
  readonly bornMs: number
  /** '' = it can be read, else why not. */
  readonly unreadable: string
}

const MOST_UNZIPPED_BYTES = 64 * 2 ** 20
/** Where a message group stands among the properties of the older clients. */
const GROUP_PROPERTY = '__SHARDINGKEY'

export function receivedMessage(m: Message): ReceivedMessage {
  const system = m.getSystemProperties() ?? new definition.SystemProperties()
  const properties: Record<string, string> = {}
  m.getUserPropertiesMap().forEach((value: string, name: string) => {
    properties[name] = value
  })
  const group = system.getMessageGroup() ?? ''
  if (group !== '') properties[GROUP_PROPERTY] = group
  let body: Uint8Array | null = m.getBody_asU8()
  let unreadable = ''
  if (system.getBodyEncoding() === definition.Encoding.GZIP) {
    try {
      body = gunzipSync(body, { maxOutputLength: MOST_UNZIPPED_BYTES })
    } catch (e) {
      unreadable = `the body says it is gzip, and is not: ${e instanceof Error ? e.message : String(e)}`
    }
  }
  const born = system.getBornTimestamp()
  return {
    messageId: system.getMessageId(),
    topic: m.getTopic()?.getName() ?? '',
    tag: system.getTag() ?? '',
    keys: system.getKeysList().join(' '),
    properties,
    body: body.length === 0 ? null : body,
    attempt: Math.max(1, system.getDeliveryAttempt() ?? 1),
    handle: system.getReceiptHandle() ?? '',
    bornMs: born === undefined ? 0 : (born.toDate() as Date).getTime(),
    unreadable,
  }
}
