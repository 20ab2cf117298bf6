import type { Key } from '../../contract/ids.ts'
import type { Reading } from './reading.ts'

/** What is known of one Service's load now. */
export interface Heard {
  /** Everything added up, the last words of who is silent included. null = nothing was ever heard. */
  readonly load: Reading | null
  /** Counts the samples it is made of: the same number = nothing new. */
  readonly samples: number
  /** Who is silent and since when, or says what is no reading; '' = all is heard. */
  readonly missing: string
}

/** Where an autoscaler learns the load from. */
export interface Signals {
  /** Asks everybody who is not being asked already; returns at once. */
  poll(): void
  heard(service: Key): Heard
  close(): void
}
