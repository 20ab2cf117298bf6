import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { Admin, ProduceAcks, Producer, stringSerializers } from '@platformatic/kafka'
import { startKafka } from '../../test/servers/kafka.ts'
import { createGenerator, type Send } from '../generator.ts'
import { runWave } from '../wave.ts'

if (process.argv.includes('--help')) {
  console.log(
    'npm run demo:kafka [-- --once]\n\n' +
      'The wave of npm start, from Kafka: KafkaSource (v1alpha1) to the Service through the gateway itself.\n' +
      'KAFKA_BOOTSTRAP names a running Kafka; without it one is started, which needs Java and Maven.\n' +
      '--once: one short wave, then the account; exit 1 if an event was lost or a pod was over its limit.',
  )
  process.exit(0)
}

const given = process.env['KAFKA_BOOTSTRAP']
if (given === undefined) console.log('starting a Kafka; the first time it is fetched, which takes a while …')
const server = given === undefined ? await startKafka() : null
const bootstrap = given ?? server?.bootstrap ?? ''
const topic = `comments-${randomUUID().slice(0, 8)}`
const base = { clientId: 'comments', bootstrapBrokers: bootstrap.split(','), retries: 20, retryDelay: 250 }
const admin = new Admin(base)
await admin.createTopics({ topics: [topic], partitions: 8, replicas: 1 })

const good = await runWave({
  manifestFile: join(import.meta.dirname, 'kafka.yaml'),
  change(m) {
    if (m.kind !== 'KafkaSource') return
    Object.assign(m.spec ?? {}, { bootstrapServers: bootstrap, topics: topic, consumerGroup: topic, initialOffset: 'earliest' })
  },
  generator: () => createGenerator(sendOverKafka()),
  once: process.argv.includes('--once'),
  async close() {
    await admin.deleteTopics({ topics: [topic] })
    await admin.close()
    await server?.stop()
  },
})
process.exit(good ? 0 : 1)

/** Records in the binary content mode, gathered for a moment as producers do. */
function sendOverKafka(): Send {
  const producer = new Producer({ ...base, serializers: stringSerializers, acks: ProduceAcks.ALL })
  let gathered: { id: string; data: string; done: (acknowledged: boolean) => void }[] = []
  setInterval(() => {
    const batch = gathered
    if (batch.length === 0) return
    gathered = []
    const messages = batch.map(({ id, data }) => ({
      topic,
      key: id,
      value: data,
      headers: {
        ce_specversion: '1.0',
        ce_id: id,
        ce_source: '/rooms/42',
        ce_type: 'com.example.livestream.comment',
        'content-type': 'application/json',
      },
    }))
    producer.send({ messages }).then(
      () => batch.forEach((m) => m.done(true)),
      () => batch.forEach((m) => m.done(false)),
    )
  }, 10)
  return (id, data, done) => gathered.push({ id, data, done })
}
