import { describe, expect, test } from 'vitest'
import { Secret } from '../../../src/runtime/secret.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../../src/runtime/log.ts'
import { NatsSystem } from '../../../src/streams/nats/system.ts'
import type { QueueMessage } from '../../../src/sources/queue/consumer.ts'
import type { QueueSystem } from '../../../src/streams/queue/system.ts'
import { RabbitMqSystem } from '../../../src/streams/rabbitmq/system.ts'
import { until } from '../../until.ts'
import { natsSettings } from '../nats/settings.ts'
import { soon } from '../rig.ts'

const parts = { log: SILENT_LOG, uidOf: () => '', clock: systemClock }
/** Nobody listens there. */
const SYSTEMS: readonly [string, string, () => QueueSystem<QueueMessage>][] = [
  ['NATS', 'NatsUnreachable', () => new NatsSystem({ ...parts, settings: natsSettings('nats://127.0.0.1:1', 'test', 'away') })],
  [
    'RabbitMQ',
    'RabbitMQUnreachable',
    () =>
      new RabbitMqSystem({
        ...parts,
        random: { next: () => 0.5 },
        settings: {
          hosts: ['127.0.0.1:1'],
          vhost: '/',
          user: 'guest',
          password: new Secret('guest'),
          tls: null,
          management: '',
          exchange: 'b.test.away',
          queueType: 'quorum',
          role: 'broker',
          namespace: 'test',
          name: 'away',
          uid: '',
        },
      }),
  ],
]

describe('a system that was never reached', () => {
  test.each(SYSTEMS)('%s: says so as soon as the first connection has failed, with the reason', async (_name, reason, make) => {
    const system = make()
    expect(system.away).toBeUndefined()
    const away = await until('it says so', () => system.away)
    expect(away.reason).toBe(reason)
    expect(away.message).toMatch(/refused/i)
    await system.close(soon())
  })
})
