import type { Feed } from '../../src/contract/feed.ts'
import type { StreamPlan } from '../../src/contract/plan.ts'
import type { AppendOptions, Appended, Stream } from '../../src/contract/stream.ts'
import { CloudEvent, type CloudEventFields } from '../../src/event/event.ts'
import { RecordingIntake } from './recording-intake.ts'

export function planOf(change: Partial<StreamPlan> = {}): StreamPlan {
  return {
    key: 'broker/default/test',
    system: 'embedded',
    retentionMs: 24 * 3_600_000,
    maxBytes: 2 ** 30,
    maxUnsettledBytes: 2 ** 30,
    dedupWindowMs: 0,
    maxEventBytes: 2 ** 20,
    settings: {},
    ...change,
  }
}

export function event(id: string, change: Partial<CloudEventFields> = {}): CloudEvent {
  return new CloudEvent({ id, source: '/test', type: 'test.made', data: Buffer.from(`data of ${id}`), ...change })
}

export function events(n: number, from = 0): CloudEvent[] {
  return Array.from({ length: n }, (_, i) => event(`e${from + i}`))
}

export function append(s: Stream, list: readonly CloudEvent[], options?: AppendOptions): Promise<Appended> {
  return new Promise((resolve) => s.append(list, resolve, options))
}

/** A stream that is open, with its feed and an intake to play the subscriptions. */
export interface Running {
  readonly stream: Stream
  readonly intake: RecordingIntake
  readonly feed: Feed
}

export function run(stream: Stream): Running {
  const intake = new RecordingIntake()
  const feed = stream.open(intake, new AbortController().signal)
  intake.feed = feed
  return { stream, intake, feed }
}

export const EARLIEST = { at: 'committed', otherwise: { at: 'earliest' } } as const
export const LATEST = { at: 'committed', otherwise: { at: 'latest' } } as const

/** A generous end for closing: nothing in a test should come near it. */
export function soon(): AbortSignal {
  return AbortSignal.timeout(20_000)
}
