import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, vi } from 'vitest'
import { SILENT } from '../../src/contract/observer.ts'
import type { StreamPlan } from '../../src/contract/plan.ts'
import type { Stream } from '../../src/contract/stream.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { type Custody, openCustody } from '../../src/store/custody.ts'
import { retryTopicOf } from '../../src/streams/rocketmq/names.ts'
import { createRocketMqStream } from '../../src/streams/rocketmq/rocketmq-stream.ts'
import type { RocketMqStreamSettings } from '../../src/streams/rocketmq/settings.ts'
import { openAdmin, type RocketMqAdmin } from '../../src/vendor/rocketmq/admin.ts'
import { temporaryFolder } from '../gateway.ts'
import { sharedRocketMq, type SharedRocketMqAddress } from '../servers/rocketmq-provided.ts'
import { streamContract } from '../streams/contract.ts'
import { append, events, LATEST, planOf, run, soon } from '../streams/rig.ts'
import { until } from '../until.ts'

const rocketMq = sharedRocketMq()

interface Opened {
  readonly plan: StreamPlan
  readonly dir: string
  custody: Custody
}

const opened = new Map<Stream, Opened>()

function open(o: Opened): Stream {
  const stream = createRocketMqStream({
    id: 1,
    plan: o.plan,
    settings: o.plan.settings as unknown as RocketMqStreamSettings,
    clock: systemClock,
    random: systemRandom,
    log: SILENT_LOG,
    observer: SILENT,
    custody: o.custody,
  })
  opened.set(stream, o)
  return stream
}

const custodyIn = (dir: string): Promise<Custody> => openCustody({ dir, clock: systemClock, log: SILENT_LOG })

const settingsAt = (at: SharedRocketMqAddress): RocketMqStreamSettings => ({
  endpoints: [at.endpoint],
  nameServers: [at.nameServer],
  nameServersTls: false,
  cluster: '',
  credentials: null,
  tls: null,
  instanceNamespace: '',
  topic: `contract-${randomUUID()}`,
  type: 'NORMAL',
  // The order the contract asks for is that of one queue.
  queues: 1,
  instance: '/contract',
  backlogMs: 200,
})

const TOGETHER = { concurrent: true, timeout: 400_000 }

// What is given back comes again after three seconds and more: the rows wait for that together.
describe.skipIf(rocketMq.skip)(`the stream contract on RocketMQ${rocketMq.note}`, TOGETHER, () => {
  let at: SharedRocketMqAddress
  let admin: RocketMqAdmin
  /** The topics of a stream are there before it: what is published waits a few seconds only for what is being made. */
  const fresh = async (change: Partial<StreamPlan> = {}): Promise<Stream> => {
    const settings = settingsAt(at)
    await until('its topics are made', async () => {
      await admin.makeTopic(settings.topic, { queues: settings.queues, type: settings.type })
      await admin.makeTopic(retryTopicOf(settings.topic), { queues: 1, type: 'DELAY' })
      return true
    })
    const dir = temporaryFolder()
    const plan = planOf({ system: 'rocketmq', settings: settings as unknown as StreamPlan['settings'], ...change })
    return open({ plan, dir, custody: await custodyIn(dir) })
  }
  beforeAll(async () => {
    vi.setConfig({ maxConcurrency: 4 })
    at = await rocketMq.address()
    admin = openAdmin({ nameServers: [at.nameServer], credentials: null, tls: null, cluster: '' })
    // A server that has just started takes its time for what it does for the first time.
    const r = run(await fresh())
    const p = r.intake.attach(1, 'trigger/a/first', LATEST)
    const come = async (): Promise<boolean> => (await append(r.stream, events(1)), p.offered.length > 0)
    await until('a first event has gone all the way', come, 240_000)
    await r.stream.close(soon())
  }, 400_000)
  afterAll(() => admin.close())
  streamContract({
    name: 'rocketmq',
    limits: false,
    forgetsOffers: true,
    queues: true,
    scrambles: true,
    together: true,
    open: fresh,
    async reopen(s) {
      const o = opened.get(s)
      if (o === undefined) throw new Error('it was not opened here')
      await s.close(soon())
      await o.custody.close(soon())
      return open({ ...o, custody: await custodyIn(o.dir) })
    },
  })
})
