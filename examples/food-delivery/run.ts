import { join } from 'node:path'
import { rocketMqTestClient } from '../../test/servers/rocketmq-clients.ts'
import { ACCESS_KEY, ACCESS_SECRET, startRocketMq } from '../../test/servers/rocketmq.ts'
import { createGenerator, type Send } from '../generator.ts'
import { runWave } from '../wave.ts'

if (process.argv.includes('--help')) {
  console.log(
    'npm run demo:rocketmq [-- --once]\n\n' +
      'Orders of a food delivery: RocketMQ, RocketMQSource, Broker, Trigger, order-service.\n' +
      'A RocketMQ is started for it, which needs Java and Maven.\n' +
      '--once: one short wave, then the account; exit 1 if an order was lost or a pod was over its limit.',
  )
  process.exit(0)
}

console.log('starting a RocketMQ; the first time it is fetched, which takes a while …')
const server = await startRocketMq({
  topics: [{ name: 'orders', queues: 8 }],
  groups: [{ name: 'order-service' }],
  authentication: true,
})
const client = await rocketMqTestClient(server.endpoint, 'orders', { accessKey: ACCESS_KEY, accessSecret: ACCESS_SECRET })

const good = await runWave({
  manifestFile: join(import.meta.dirname, 'food-delivery.yaml'),
  change(m) {
    if (m.kind === 'RocketMQSource') Object.assign(m.spec ?? {}, { namesrvAddr: server.endpoint })
  },
  generator: () => createGenerator(sendOrders),
  once: process.argv.includes('--once'),
  // The official producer takes a third of a millisecond an order.
  perS: 250,
  close: () => server.stop(),
})
process.exit(good ? 0 : 1)

/** Each order is a message of its own, sent as soon as it is placed, whatever else is under way. */
function sendOrders(...[id, _data, done]: Parameters<Send>): void {
  const seconds = String(Math.floor(Date.now() / 1000))
  const order = {
    orderId: id,
    orderStatus: 'completed',
    userPhoneNo: '13800000000',
    prodId: '2141412',
    prodName: 'test',
    chargeMoney: '30.0',
    chargeTime: seconds,
    finishTime: seconds,
  }
  client.send([{ topic: 'orders', body: JSON.stringify(order), keys: [id] }]).then(
    () => done(true),
    () => done(false),
  )
}
