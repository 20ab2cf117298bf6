import { Producer } from 'rocketmq-client-nodejs'

/** One message to send with the official producer. */
export interface TestMessage {
  readonly topic: string
  readonly body: string | Buffer
  readonly tag?: string
  readonly keys?: readonly string[]
  readonly group?: string
  readonly delayMs?: number
  readonly properties?: Readonly<Record<string, string>>
}

export interface RocketMqTestClient {
  /** Resolves with the message ids, in the order of the messages, once all are acknowledged. */
  send(messages: readonly TestMessage[]): Promise<string[]>
}

export interface TestClientOptions {
  readonly accessKey?: string
  readonly accessSecret?: string
}

const SILENT = { info() {}, warn() {}, error() {} }
/** Messages under way at once; those of one message group follow one another. */
const AT_ONCE = 32

/**
 * The official client's producer. It is started with one topic that exists and finds others when they are sent to: with
 * several it may wait for ever for settings that came while it was still asking for the second. It is never shut down:
 * afterwards a connection that breaks would end the process.
 */
export async function rocketMqTestClient(
  endpoint: string,
  topic: string,
  o: TestClientOptions = {},
): Promise<RocketMqTestClient> {
  const producer = new Producer({
    endpoints: endpoint,
    namespace: '',
    topics: [topic],
    logger: SILENT,
    requestTimeout: 10_000,
    ...(o.accessKey === undefined ? {} : { sessionCredentials: { accessKey: o.accessKey, accessSecret: o.accessSecret ?? '' } }),
  })
  await producer.startup()
  const sendOne = async (m: TestMessage): Promise<string> => {
    const receipt = await producer.send({
      topic: m.topic,
      body: Buffer.from(m.body),
      tag: m.tag ?? '',
      keys: [...(m.keys ?? [])],
      ...(m.group === undefined ? {} : { messageGroup: m.group }),
      ...(m.delayMs === undefined ? {} : { delay: m.delayMs }),
      ...(m.properties === undefined ? {} : { properties: new Map(Object.entries(m.properties)) }),
    })
    return receipt.messageId
  }
  return {
    async send(messages) {
      const ids: string[] = []
      const groups = new Map<string, number[]>()
      messages.forEach((m, i) => {
        const line = m.group ?? `alone-${i % AT_ONCE}`
        const list = groups.get(line)
        if (list === undefined) groups.set(line, [i])
        else list.push(i)
      })
      await Promise.all(
        [...groups.values()].map(async (line) => {
          for (const i of line) ids[i] = await sendOne(messages[i] as TestMessage)
        }),
      )
      return ids
    },
  }
}
