import {
  AckPolicy,
  DeliverPolicy,
  jetstream,
  jetstreamManager,
  type JsMsg,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream'
import { connect, headers as natsHeaders } from '@nats-io/transport-node'
import { type BareClient, httpNames, type Place, type Publish } from './client.ts'

/** Messages a pull asks for: as many as the lane and what waits before it. */
const PULL = 512
let serial = 0

export const BARE_NATS: BareClient = {
  async publisher<T>(place: Place, stored: (token: T) => void): Promise<Publish<T>> {
    const connection = await connect({ servers: place.address })
    const manager = await jetstreamManager(connection)
    await manager.streams.add({
      name: place.name,
      subjects: [place.name],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
    })
    const js = jetstream(connection)
    return (headers, body, token) => {
      const h = natsHeaders()
      for (const [name, value] of headers) h.set(name, value)
      js.publish(place.name, body, { headers: h, msgID: `floor-${serial++}` }).then(
        () => stored(token),
        () => process.exit(1),
      )
    }
  },
  async consumer(place, makeLane) {
    const connection = await connect({ servers: place.address })
    const manager = await jetstreamManager(connection)
    const { name } = await manager.consumers.add(place.name, {
      durable_name: 'floor',
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      max_ack_pending: 2 * PULL,
    })
    const nameOf = httpNames('ce-')
    const lane = makeLane<JsMsg>({ done: (m) => m.ack(), low: () => {} })
    const consumer = await jetstream(connection).consumers.get(place.name, name)
    await consumer.consume({
      max_messages: PULL,
      callback: (m) => {
        let head = ''
        for (const [key, values] of m.headers ?? []) if (key !== 'Nats-Msg-Id') head += `${nameOf(key)}: ${values[0] ?? ''}\r\n`
        lane.push(head, Buffer.from(m.data.buffer, m.data.byteOffset, m.data.byteLength), m)
        lane.pump()
      },
    })
  },
}
