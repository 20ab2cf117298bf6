import { connect, type ConsumeMessage } from 'amqplib'
import { type BareClient, httpNames, type Place, type Publish } from './client.ts'

const PREFETCH = 512
const PREFIX = 'cloudEvents:'

export const BARE_RABBITMQ: BareClient = {
  async publisher<T>(place: Place, stored: (token: T) => void): Promise<Publish<T>> {
    const channel = await (await connect(place.address)).createConfirmChannel()
    await channel.assertExchange(place.name, 'headers', { durable: true })
    await channel.assertQueue(place.name, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    await channel.bindQueue(place.name, place.name, '')
    return (headers, body, token) => {
      const named: Record<string, string> = {}
      let contentType = ''
      for (const [name, value] of headers) {
        if (name.startsWith('ce-')) named[PREFIX + name.slice(3)] = value
        else contentType = value
      }
      channel.publish(place.name, '', body, { persistent: true, contentType, headers: named }, (error) => {
        if (error !== null) process.exit(1)
        stored(token)
      })
    }
  },
  async consumer(place, makeLane) {
    const channel = await (await connect(place.address)).createChannel()
    await channel.prefetch(PREFETCH)
    const nameOf = httpNames(PREFIX)
    const lane = makeLane<ConsumeMessage>({ done: (m) => channel.ack(m), low: () => {} })
    await channel.consume(place.name, (m) => {
      if (m === null) process.exit(1)
      const { contentType, headers = {} } = m.properties as {
        readonly contentType?: string
        readonly headers?: Readonly<Record<string, unknown>>
      }
      let head = contentType === undefined ? '' : `content-type: ${contentType}\r\n`
      for (const [name, value] of Object.entries(headers))
        if (name.startsWith(PREFIX)) head += `${nameOf(name)}: ${String(value)}\r\n`
      lane.push(head, m.content, m)
      lane.pump()
    })
  },
}
