import type { Feed, Intake, Source, SourceStatus } from '../../contract/feed.ts'
import type { Clock } from '../../runtime/clock.ts'
import { assert } from '../../runtime/errors.ts'
import type { QueueLimits } from './consumption.ts'
import type { QueueMessage, QueueSubscription } from './consumer.ts'
import { queueFeed, type QueueFeed } from './feed.ts'
import type { Complaint } from './health.ts'

export interface QueueSourceParts<M extends QueueMessage> {
  readonly clock: Clock
  /** Called when its subscription attaches, and again where that has left and come back. */
  readonly subscribe: () => QueueSubscription<M>
  /** What is wrong at the moment; undefined = all is well. */
  readonly complaint: () => Complaint | undefined
  readonly limits?: Partial<QueueLimits>
  readonly can?: Partial<Feed['can']>
  readonly noSeek?: string
}

/** A source that is one queue with one subscription: it begins with `feed.attach`, connects when it can and never gives up. */
export function queueSource<M extends QueueMessage>(o: QueueSourceParts<M>): Source {
  let feed: QueueFeed | null = null
  let ready = false
  let stopped = false

  return {
    open(into: Intake, signal: AbortSignal): Feed {
      assert(feed === null, 'a source is opened once')
      const opened = queueFeed({
        intake: into,
        clock: o.clock,
        subscribe: o.subscribe,
        // A source's queue belongs to its administrator.
        forget: () => false,
        starting: (begun) => void begun.then(() => (ready = true)),
        limits: o.limits ?? {},
        can: o.can ?? {},
        noSeek: o.noSeek ?? 'a queue of somebody else is not read anew from here',
        firstPosition: 1,
      })
      feed = opened
      signal.addEventListener('abort', () => opened.stop(), { once: true })
      return opened
    },
    status(): SourceStatus {
      if (stopped) return { phase: 'stopped' }
      const complaint = o.complaint()
      if (complaint !== undefined) return { phase: 'degraded', ...complaint }
      return { phase: ready ? 'ready' : 'starting' }
    },
    async close(signal: AbortSignal): Promise<void> {
      if (stopped) return
      stopped = true
      await feed?.close(signal)
    },
  }
}
