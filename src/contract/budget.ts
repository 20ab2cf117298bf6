/** Bytes that events may take in memory, per shard: lanes, gates, appends and replies share one. */
export interface Budget {
  readonly limitBytes: number
  readonly usedBytes: number
  /** Reading has to stop; it may go on when `onRoom` calls. */
  readonly full: boolean
  /** Always booked. false = it is full now. */
  take(bytes: number): boolean
  give(bytes: number): void
  /** Calls `f` each time a full budget has room again. */
  onRoom(f: () => void): void
}
