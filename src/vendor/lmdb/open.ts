import { open, type RootDatabase } from 'lmdb'
import type { Batch, Entry, Kv } from './kv.ts'

/**
 * An LMDB environment in the folder `dir`, made when it is not there. Not safe for two processes at a time: the data
 * folder's lock sees to that.
 */
export function openLmdb(dir: string): Kv {
  return new LmdbKv(
    open<Uint8Array, Uint8Array>({
      path: dir,
      encoding: 'binary',
      keyEncoding: 'binary',
      // Named, because durability rests on it: a commit is visible first and flushed after, `flushed` tells when.
      overlappingSync: true,
      noSubdir: false,
    }),
  )
}

class LmdbKv implements Kv {
  readonly #db: RootDatabase<Uint8Array, Uint8Array>

  constructor(db: RootDatabase<Uint8Array, Uint8Array>) {
    this.#db = db
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#db.getBinary(key)
  }

  range(from: Uint8Array, to: Uint8Array, most: number, reverse = false): Entry[] {
    return [...this.#db.getRange(this.#bounds(from, to, most, reverse))]
  }

  keys(from: Uint8Array, to: Uint8Array, most: number, reverse = false): Uint8Array[] {
    return [...this.#db.getKeys(this.#bounds(from, to, most, reverse))]
  }

  prefetch(keys: readonly Uint8Array[], done: () => void): void {
    void this.#db.prefetch([...keys], done)
  }

  commit(write: (b: Batch) => void, done: (error: Error | undefined) => void): void {
    let ended = false
    const end = (error: Error | undefined): void => {
      if (ended) return
      ended = true
      done(error)
    }
    try {
      // The promise of the batch rejects for a failed commit and for a failed flush alike, and then `flushed` stays
      // pending for ever; when all is well `flushed` resolves, and only then is anything durable.
      this.#db.batch(() => write(new LmdbBatch(this.#db))).then(undefined, (e: unknown) => reason(e, end))
      this.#db.flushed.then(
        () => end(undefined),
        (e: unknown) => reason(e, end),
      )
    } catch (e) {
      end(asError(e))
    }
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  /** lmdb reads backwards from an exclusive start to an inclusive end; here both ways mean from <= key < to. */
  #bounds(from: Uint8Array, to: Uint8Array, limit: number, reverse: boolean) {
    return reverse
      ? { start: to, end: from, limit, reverse, exclusiveStart: true, inclusiveEnd: true }
      : { start: from, end: to, limit }
  }
}

class LmdbBatch implements Batch {
  readonly #db: RootDatabase<Uint8Array, Uint8Array>
  size = 0

  constructor(db: RootDatabase<Uint8Array, Uint8Array>) {
    this.#db = db
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.size++
    void this.#db.put(key, value)
  }

  remove(key: Uint8Array): void {
    this.size++
    void this.#db.remove(key)
  }
}

/** lmdb keeps why a commit failed in a second promise. */
function reason(e: unknown, end: (error: Error) => void): void {
  const why = (e as { commitError?: Promise<unknown> } | null)?.commitError
  if (why === undefined) return end(asError(e))
  why.then(
    () => end(asError(e)),
    (cause: unknown) => end(new Error(`commit failed: ${asError(cause).message}`, { cause })),
  )
}

function asError(e: unknown): Error {
  return e instanceof Error ? e : new Error(String(e))
}
