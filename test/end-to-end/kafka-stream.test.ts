import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { describe } from 'vitest'
import type { StreamPlan } from '../../src/contract/plan.ts'
import { SILENT } from '../../src/contract/observer.ts'
import type { Stream } from '../../src/contract/stream.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { type Custody, openCustody } from '../../src/store/custody.ts'
import { Memberships } from '../../src/sources/kafka/memberships.ts'
import { createKafkaStream } from '../../src/streams/kafka/kafka-stream.ts'
import type { KafkaStreamSettings } from '../../src/streams/kafka/settings.ts'
import { temporaryFolder } from '../gateway.ts'
import { sharedKafka } from '../servers/provided.ts'

import { streamContract } from '../streams/contract.ts'
import { historyContract } from '../streams/history-contract.ts'
import { planOf, soon } from '../streams/rig.ts'

const kafka = sharedKafka()

interface Opened {
  readonly plan: StreamPlan
  readonly dir: string
  custody: Custody
}

const opened = new Map<Stream, Opened>()

function open(o: Opened): Stream {
  const stream = createKafkaStream({
    id: 1,
    plan: o.plan,
    settings: o.plan.settings as unknown as KafkaStreamSettings,
    clock: systemClock,
    random: systemRandom,
    log: SILENT_LOG,
    observer: SILENT,
    custody: o.custody,
    copyDir: join(o.dir, 'copy'),
    memberships: new Memberships({ stored: '', store() {} }),
    uidOf: (key) => key.replaceAll('/', '-'),
  })
  opened.set(stream, o)
  return stream
}

const custodyIn = (dir: string): Promise<Custody> => openCustody({ dir, clock: systemClock, log: SILENT_LOG })

async function openNew(change: Partial<StreamPlan> = {}): Promise<Stream> {
  const settings: KafkaStreamSettings = {
    bootstrapServers: [kafka.bootstrap],
    topic: `contract-${randomUUID()}`,
    create: { partitions: 1, replication: 1, retentionMs: 0 },
    // Groups of triggers are called after the triggers alone: those of a channel are apart from other tests'.
    channel: `contract.${randomUUID().slice(0, 8)}`,
    sasl: null,
    tls: null,
    namespace: `ns-${randomUUID().slice(0, 8)}`,
    name: 'contract',
    structured: false,
  }
  const dir = temporaryFolder()
  const plan = planOf({ system: 'kafka', settings: settings as unknown as StreamPlan['settings'], ...change })
  return open({ plan, dir, custody: await custodyIn(dir) })
}

async function reopen(s: Stream): Promise<Stream> {
  const o = opened.get(s)
  if (o === undefined) throw new Error('it was not opened here')
  await s.close(soon())
  await o.custody.close(soon())
  // Everything has to come from Kafka: the next one knows nothing of this one's folder.
  const dir = temporaryFolder()
  return open({ ...o, dir, custody: await custodyIn(dir) })
}

describe.skipIf(kafka.skip)(`the stream contract on Kafka${kafka.note}`, () => {
  streamContract({ name: 'kafka', limits: false, forgetsOffers: true, dueLane: true, open: openNew, reopen })
  historyContract({ name: 'kafka', first: 0, detaches: false, open: openNew, reopen })
})
