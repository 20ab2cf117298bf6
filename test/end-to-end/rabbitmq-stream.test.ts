import { randomUUID } from 'node:crypto'
import { beforeAll, describe } from 'vitest'
import type { StreamPlan } from '../../src/contract/plan.ts'
import { SILENT } from '../../src/contract/observer.ts'
import type { Stream } from '../../src/contract/stream.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { Secret } from '../../src/runtime/secret.ts'
import { type Custody, openCustody } from '../../src/store/custody.ts'
import { createRabbitMqStream } from '../../src/streams/rabbitmq/rabbitmq-stream.ts'
import type { RabbitMqStreamSettings } from '../../src/streams/rabbitmq/settings.ts'
import { temporaryFolder } from '../gateway.ts'
import { sharedRabbitMq } from '../servers/provided.ts'
import { streamContract } from '../streams/contract.ts'
import { planOf, soon } from '../streams/rig.ts'

const rabbitMq = sharedRabbitMq()

interface Opened {
  readonly plan: StreamPlan
  readonly dir: string
  custody: Custody
}

const opened = new Map<Stream, Opened>()

function open(o: Opened): Stream {
  const stream = createRabbitMqStream({
    id: 1,
    plan: o.plan,
    settings: o.plan.settings as unknown as RabbitMqStreamSettings,
    clock: systemClock,
    random: systemRandom,
    log: SILENT_LOG,
    observer: SILENT,
    custody: o.custody,
    uidOf: () => '',
  })
  opened.set(stream, o)
  return stream
}

const custodyIn = (dir: string): Promise<Custody> => openCustody({ dir, clock: systemClock, log: SILENT_LOG })

describe.skipIf(rabbitMq.skip)(`the stream contract on RabbitMQ${rabbitMq.note}`, () => {
  beforeAll(() => rabbitMq.ready())
  streamContract({
    name: 'rabbitmq',
    limits: false,
    forgetsOffers: true,
    queues: true,
    noHistory: true,
    async open(change) {
      const uid = randomUUID()
      const settings: RabbitMqStreamSettings = {
        hosts: [rabbitMq.address],
        vhost: '/',
        user: 'guest',
        password: new Secret('guest'),
        tls: null,
        management: '',
        exchange: `b.test.contract.${uid}`,
        queueType: 'quorum',
        role: 'broker',
        namespace: 'test',
        name: 'contract',
        uid,
      }
      const dir = temporaryFolder()
      const plan = planOf({ system: 'rabbitmq', settings: settings as unknown as StreamPlan['settings'], ...change })
      return open({ plan, dir, custody: await custodyIn(dir) })
    },
    async reopen(s) {
      const o = opened.get(s)
      if (o === undefined) throw new Error('it was not opened here')
      await s.close(soon())
      await o.custody.close(soon())
      return open({ ...o, custody: await custodyIn(o.dir) })
    },
  })
})
