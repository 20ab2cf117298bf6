import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager, type JetStreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'

/** What tests do with a NATS beside the gateway, through the client itself. */
export interface NatsTestClient {
  readonly connection: NatsConnection
  readonly manager: JetStreamManager
  publish(subject: string, payload: string | Uint8Array, id?: string): Promise<void>
  /** The stored message with this sequence: header lines and payload as text. */
  stored(stream: string, sequence: number): Promise<{ readonly headers: string; readonly payload: string }>
  /** Number of messages. */
  count(stream: string): Promise<number>
  consumer(stream: string, name: string, more?: Readonly<Record<string, unknown>>): Promise<void>
  /** Pulls and acknowledges the first `n`. */
  take(stream: string, consumer: string, n: number): Promise<void>
  close(): Promise<void>
}

export async function natsTestClient(
  url: string,
  login: { readonly user?: string; readonly pass?: string } = {},
): Promise<NatsTestClient> {
  const connection = await connect({ servers: url, ...login })
  const manager = await jetstreamManager(connection)
  const js = jetstream(connection)
  return {
    connection,
    manager,
    async publish(subject, payload, id) {
      await js.publish(subject, payload, id === undefined ? {} : { msgID: id })
    },
    async stored(stream, seq) {
      const message = await manager.streams.getMessage(stream, { seq })
      if (message === null) throw new Error(`${stream} has no message ${seq}`)
      const headers = [...message.header].flatMap(([name, values]) => values.map((v) => `${name}: ${v}`)).join('\n')
      return { headers, payload: new TextDecoder().decode(message.data) }
    },
    count: async (stream) => (await manager.streams.info(stream)).state.messages,
    async consumer(stream, name, more = {}) {
      const own = { durable_name: name, name, ack_policy: AckPolicy.Explicit, deliver_policy: DeliverPolicy.All }
      await manager.consumers.add(stream, { ...own, ...more })
    },
    async take(stream, consumer, n) {
      const messages = await (await js.consumers.get(stream, consumer)).fetch({ max_messages: n, expires: 5_000 })
      for await (const m of messages) await m.ackAck()
    },
    close: () => connection.close(),
  }
}
