import { connect, type ChannelModel, type ConfirmChannel, type Options } from 'amqplib'
import { until } from '../until.ts'

/** A client beside the gateway's own: what people and their applications do on a RabbitMQ. */
export interface RabbitMqTestClient {
  readonly channel: ConfirmChannel
  /** Confirmed. */
  send(queue: string, body: string | Buffer, options?: Options.Publish): Promise<void>
  /** Messages that are ready. */
  ready(queue: string): Promise<number>
  /** Something the server refuses, which closes the channel it is asked on, does not close this one. */
  tries<T>(f: (channel: ConfirmChannel) => Promise<T>): Promise<T>
  close(): Promise<void>
}

async function open(address: string): Promise<ChannelModel> {
  const [hostname = '', port = ''] = address.split(':')
  const model = await connect({ protocol: 'amqp', hostname, port: Number(port), username: 'guest', password: 'guest' })
  model.on('error', () => undefined)
  return model
}

export async function rabbitMqTestClient(address: string): Promise<RabbitMqTestClient> {
  const model = await open(address)
  const channel = await model.createConfirmChannel()
  return {
    channel,
    send: (queue, body, options = {}) =>
      new Promise((resolve, reject) => {
        channel.sendToQueue(queue, Buffer.from(body), { persistent: true, ...options }, (e: Error | null) =>
          e === null ? resolve() : reject(e),
        )
      }),
    ready: async (queue) => (await channel.checkQueue(queue)).messageCount,
    async tries(f) {
      const own = await model.createConfirmChannel()
      own.on('error', () => undefined)
      try {
        return await f(own)
      } finally {
        await own.close().catch(() => undefined)
      }
    },
    close: () => model.close().catch(() => undefined),
  }
}

/** Resolves when a server that may just be starting lets a client in. */
export async function rabbitMqAnswers(port: number): Promise<void> {
  const model = await until('RabbitMQ answers', () => open(`127.0.0.1:${port}`), 120_000)
  await model.close()
}
