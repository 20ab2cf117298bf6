import type { Start } from '../../contract/feed.ts'
import type { Key } from '../../contract/ids.ts'
import type { Appended } from '../../contract/stream.ts'
import type { CloudEvent } from '../../event/event.ts'
import type { QueueMessage, QueueSubscription } from '../../sources/queue/consumer.ts'
import type { Complaint } from '../../sources/queue/health.ts'

/** How a subscription wants its events: `ordered` = one unsettled at a time, in order. */
export type QueueOrder = 'unordered' | 'ordered' | 'key'

/**
 * A message system as a stream needs it: everybody who subscribes gets every event that is published after, until it is
 * acknowledged. One such system a stream; it connects when it can and never gives up.
 */
export interface QueueSystem<M extends QueueMessage> {
  /**
   * Durable when done says so, in the order of the calls where the system has one. `unavailable`: nothing is known to be
   * stored, the producer sends again. Events over the stream's limit were refused before.
   */
  publish(events: readonly CloudEvent[], done: (r: Appended) => void): void
  /** Its place in the system is made when it is not there, and begins at `from`. Called again after a restart: it goes on. */
  subscribe(key: Key, from: Start, order: QueueOrder): QueueSubscription<M>
  /** Deletes the place of a subscription that is gone, with everything in it; false = there was none. */
  forget(key: Key): boolean
  /** undefined = all is well. */
  readonly complaint: Complaint | undefined
  /** Why nothing can be published now, where that is known without trying: nobody is kept waiting for it. */
  readonly away?: Complaint | undefined
  close(signal: AbortSignal): Promise<void>
}
