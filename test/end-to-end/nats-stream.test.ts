import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe } from 'vitest'
import type { StreamPlan } from '../../src/contract/plan.ts'
import { SILENT } from '../../src/contract/observer.ts'
import type { Stream } from '../../src/contract/stream.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { type Custody, openCustody } from '../../src/store/custody.ts'
import { createNatsStream } from '../../src/streams/nats/nats-stream.ts'
import type { NatsStreamSettings } from '../../src/streams/nats/settings.ts'
import { temporaryFolder } from '../gateway.ts'
import { type NatsServer, ownNats, startNats } from '../servers/nats.ts'
import { streamContract } from '../streams/contract.ts'
import { planOf, soon } from '../streams/rig.ts'
import { natsSettings } from '../streams/nats/settings.ts'

const nats = ownNats()

interface Opened {
  readonly plan: StreamPlan
  readonly dir: string
  custody: Custody
}

const opened = new Map<Stream, Opened>()

function open(o: Opened): Stream {
  const stream = createNatsStream({
    id: 1,
    plan: o.plan,
    settings: o.plan.settings as unknown as NatsStreamSettings,
    clock: systemClock,
    log: SILENT_LOG,
    observer: SILENT,
    custody: o.custody,
    uidOf: () => '',
  })
  opened.set(stream, o)
  return stream
}

const custodyIn = (dir: string): Promise<Custody> => openCustody({ dir, clock: systemClock, log: SILENT_LOG })

describe.skipIf(nats.skip)(`the stream contract on NATS${nats.note}`, () => {
  let server: NatsServer
  beforeAll(async () => {
    server = await startNats()
  })
  afterAll(() => server.stop())

  streamContract({
    name: 'nats',
    limits: false,
    forgetsOffers: true,
    dueLane: true,
    queues: true,
    async open(change) {
      const settings = natsSettings(server.url, `ns${randomUUID().slice(0, 8)}`, 'contract')
      const dir = temporaryFolder()
      const plan = planOf({ system: 'nats', settings: settings as unknown as StreamPlan['settings'], ...change })
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
