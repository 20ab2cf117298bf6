import { describe } from 'vitest'
import { SILENT } from '../../../src/contract/observer.ts'
import type { StreamPlan } from '../../../src/contract/plan.ts'
import type { Stream } from '../../../src/contract/stream.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../../src/runtime/log.ts'
import { openCustody } from '../../../src/store/custody.ts'
import { MemoryKv } from '../../../src/store/memory-kv.ts'
import { createQueueStream } from '../../../src/streams/queue/queue-stream.ts'
import { streamContract } from '../contract.ts'
import { until } from '../../until.ts'
import { planOf, soon } from '../rig.ts'
import { ServerDouble, SystemDouble } from './double.ts'

interface Opened {
  readonly plan: StreamPlan
  readonly server: ServerDouble
  readonly kv: MemoryKv
}

const opened = new Map<Stream, Opened>()

async function open(o: Opened): Promise<Stream> {
  const custody = await openCustody({ dir: '/nowhere', clock: systemClock, log: SILENT_LOG, kv: o.kv })
  const stream = createQueueStream({
    id: 1,
    plan: o.plan,
    clock: systemClock,
    observer: SILENT,
    log: SILENT_LOG,
    system: new SystemDouble(o.server),
    custody,
    can: { seek: true, delay: true, seekTime: true },
  })
  opened.set(stream, o)
  return stream
}

describe('the stream contract on a system of queues', () => {
  streamContract({
    name: 'queues',
    limits: false,
    queues: true,
    open: (change) => open({ plan: planOf(change), server: new ServerDouble(systemClock), kv: new MemoryKv(systemClock) }),
    async reopen(s) {
      const o = opened.get(s)
      if (o === undefined) throw new Error('it was not opened here')
      await s.close(soon())
      // Places are counted from the wall clock on: a restart takes longer than a millisecond.
      const endedMs = Date.now()
      await until('a millisecond has passed', () => Date.now() > endedMs)
      return open(o)
    },
  })
})
