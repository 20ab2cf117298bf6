/** One stored pair; both are copies and stay valid. */
export interface Entry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** What a transaction writes: all of it or nothing. Values must not change until the commit has ended; keys are copied. */
export interface Batch {
  put(key: Uint8Array, value: Uint8Array): void
  remove(key: Uint8Array): void
  /** Operations so far. */
  readonly size: number
}

/**
 * An ordered, durable map of bytes, as thin as the streams need it, so that a test can stand in for the disk.
 * Reads see every commit that has ended. Keys are ordered as bytes, at most 1,900 of them.
 */
export interface Kv {
  get(key: Uint8Array): Uint8Array | undefined
  /** At most `most` pairs with from <= key < to, in order; with `reverse` the last ones, highest first. */
  range(from: Uint8Array, to: Uint8Array, most: number, reverse?: boolean): Entry[]
  /** As `range`, without the values. */
  keys(from: Uint8Array, to: Uint8Array, most: number, reverse?: boolean): Uint8Array[]
  /** Brings the values of these keys into memory off the thread, then calls back. */
  prefetch(keys: readonly Uint8Array[], done: () => void): void
  /**
   * One atomic transaction. `done` once: without an error after everything is flushed to the disk, with one when the
   * transaction was not committed or could not be flushed.
   */
  commit(write: (b: Batch) => void, done: (error: Error | undefined) => void): void
  /** Waits for commits that run. Further calls throw. */
  close(): Promise<void>
}

/** True where an error of a commit says that the disk or the quota is used up. */
export function isOutOfSpace(error: unknown): boolean {
  return says(error, /no space left|ENOSPC|quota exceeded|EDQUOT/i)
}

/** LMDB calls a write that a full disk cut short an input/output error: whether it was one, the free space tells. */
export function isInputOutput(error: unknown): boolean {
  return says(error, /input\/output error|EIO/i)
}

function says(error: unknown, what: RegExp): boolean {
  for (let e = error; e instanceof Error; e = e.cause) if (what.test(e.message)) return true
  return false
}
