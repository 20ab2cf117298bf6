import type { Budget } from '../../../src/contract/budget.ts'
import type { Feed } from '../../../src/contract/feed.ts'
import { SILENT } from '../../../src/contract/observer.ts'
import type { Stream } from '../../../src/contract/stream.ts'
import { SILENT_LOG } from '../../../src/runtime/log.ts'
import type { QueueLimits } from '../../../src/sources/queue/consumption.ts'
import { openCustody } from '../../../src/store/custody.ts'
import { MemoryKv } from '../../../src/store/memory-kv.ts'
import { createQueueStream } from '../../../src/streams/queue/queue-stream.ts'
import { TestClock } from '../../sources/rocketmq/double.ts'
import { RecordingIntake } from '../recording-intake.ts'
import { planOf } from '../rig.ts'
import { ServerDouble, SystemDouble } from './double.ts'

export interface QueueRig {
  readonly clock: TestClock
  readonly server: ServerDouble
  readonly system: SystemDouble
  readonly stream: Stream
  readonly intake: RecordingIntake
  readonly feed: Feed
  /** Told as stored: how many, how many bytes. */
  readonly told: { readonly events: number; readonly bytes: number }[]
  /** Lets time pass; leases that are over give their messages to whoever asks. */
  pass(ms: number): Promise<void>
}

/** A stream on the double, on a clock of the test's own. */
export async function queueRig(
  prepare: (server: ServerDouble) => void = () => {},
  limits: Partial<QueueLimits> = {},
  budget?: Budget,
): Promise<QueueRig> {
  const clock = new TestClock()
  const server = new ServerDouble(clock)
  prepare(server)
  const system = new SystemDouble(server)
  const custody = await openCustody({ dir: '/nowhere', clock, log: SILENT_LOG, kv: new MemoryKv(clock) })
  const told: { events: number; bytes: number }[] = []
  const stream = createQueueStream({
    id: 1,
    plan: planOf(),
    clock,
    observer: { ...SILENT, appended: (_s, events, bytes) => told.push({ events, bytes }) },
    log: SILENT_LOG,
    system,
    custody,
    limits,
    ...(budget === undefined ? {} : { budget }),
    can: { seek: true, delay: true },
  })
  const intake = new RecordingIntake()
  const feed = stream.open(intake, new AbortController().signal)
  intake.feed = feed
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 500) {
      await clock.pass(Math.min(500, left))
      server.expire()
    }
    await clock.pass(0)
  }
  return { clock, server, system, stream, intake, feed, told, pass }
}
