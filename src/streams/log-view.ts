import type { Position, Undecodable } from '../contract/delivery.ts'
import type { CloudEvent } from '../event/event.ts'

/** What a feed sees of its log. Positions begin at 1 and have no gaps between `first` and `head`. */
export interface LogView {
  /** Lowest position kept; head + 1 when none is. */
  readonly first: Position
  /** Highest position that is handed on, 0 = none. */
  readonly head: Position
  /** Highest position that is durable: what lies between is handed on in the next turns. */
  readonly end: Position
  reader(): LogReader
  /** The first position taken at `timeMs` or later, head + 1 when there is none. */
  positionAt(timeMs: number): Position
  /** Wall clock at which about this position was taken, from memory; 0 = not known. */
  timeAt(position: Position): number
}

/** Reads one stretch after another; what is not in memory is fetched off the thread. */
export interface LogReader {
  /** The event, or what is there instead of one; 'loading' = `ready` is called later, ask again then. */
  read(position: Position, ready: () => void): CloudEvent | Undecodable | 'loading' | 'missing'
}
