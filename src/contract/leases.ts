import type { Key, PodId } from './ids.ts'
import type { Position } from './delivery.ts'

/** Work that a subscriber does after its 202 and will report with a callback. Wall-clock ms. */
export interface Lease {
  /** The token of the callback URL. */
  readonly token: string
  readonly sub: Key
  readonly pod: PodId
  readonly leaseMs: number
  readonly untilMs: number
  readonly members: readonly LeaseMember[]
}

/** One event of the attempt. The feed offers it again after a restart, as it is not settled; by this it is known again. */
export interface LeaseMember {
  readonly position: Position
  readonly source: string
  readonly id: string
  readonly attempt: number
}

/** Keeps open leases over a restart of the gateway. Losing one costs a duplicate, never an event. */
export interface LeaseStore {
  /** Those of a subscription that have not run out. */
  of(sub: Key): readonly Lease[]
  /** New, or longer than before. */
  save(lease: Lease): void
  /** `answered`: by a callback, which may be repeated; else it ran out or its pod is gone. */
  end(token: string, answered: boolean): void
}

/** Keeps nothing. */
export const NO_LEASES: LeaseStore = Object.freeze({ of: () => [], save() {}, end() {} })
