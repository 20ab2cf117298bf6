import { FilterExpression, type MessageView, Producer, SimpleConsumer } from 'rocketmq-client-nodejs'
import { type BareClient, httpNames, type Place, type Publish } from './client.ts'

const SILENT = { info() {}, warn() {}, error() {} }
const PREFIX = 'CE_'
/** The most one receive may ask for, and how many wait at once. */
const RECEIVE = 32
const RECEIVES = 4
const INVISIBLE_MS = 60_000

const options = (place: Place): ConstructorParameters<typeof Producer>[0] => ({
  endpoints: place.address,
  namespace: '',
  logger: SILENT,
  requestTimeout: 10_000,
})

export const BARE_ROCKETMQ: BareClient = {
  async publisher<T>(place: Place, stored: (token: T) => void): Promise<Publish<T>> {
    const producer = new Producer({ ...options(place), topic: place.name })
    await producer.startup()
    return (headers, body, token) => {
      const properties = new Map(
        headers.map(([name, value]) =>
          name.startsWith('ce-') ? [PREFIX + name.slice(3), value] : ['CE_datacontenttype', value],
        ),
      )
      producer.send({ topic: place.name, body, properties }).then(
        () => stored(token),
        () => process.exit(1),
      )
    }
  },
  async consumer(place, makeLane) {
    const consumer = new SimpleConsumer({
      ...options(place),
      consumerGroup: place.name,
      subscriptions: new Map([[place.name, FilterExpression.SUB_ALL]]),
      awaitDuration: 5_000,
    })
    await consumer.startup()
    const nameOf = httpNames(PREFIX)
    const lane = makeLane<MessageView>({ done: (m) => void consumer.ack(m).catch(() => process.exit(1)), low: receiveMore })
    let receiving = 0
    function receiveMore(): void {
      while (receiving < RECEIVES) {
        receiving++
        void receive().finally(() => {
          receiving--
          lane.pump()
        })
      }
    }
    async function receive(): Promise<void> {
      const messages = await consumer.receive(RECEIVE, INVISIBLE_MS).catch((): MessageView[] => [])
      for (const m of messages) {
        let head = ''
        for (const [name, value] of m.properties ?? [])
          if (name === 'CE_datacontenttype') head += `content-type: ${value}\r\n`
          else if (name.startsWith(PREFIX)) head += `${nameOf(name)}: ${value}\r\n`
        lane.push(head, m.body, m)
      }
    }
    receiveMore()
  },
}
