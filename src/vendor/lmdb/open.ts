import { open, type RootDatabase } from 'lmdb'
import { Fault, messageOf } from '../../runtime/errors.ts'
import type { Batch, Entry, Kv } from './kv.ts'

/**
 * An LMDB environment in the folder `dir`, made when it is not there. Not safe for two processes at a time: the data
 * folder's lock sees to that. Throws a Fault 'store.folder' when it cannot be opened.
 */
export function openLmdb(dir: string): Kv {
  try {
    return new LmdbKv(
      open<Uint8Array, Uint8Array>({
        path: dir,
        encoding: 'binary',
        keyEncoding: 'binary',
        // Named, because durability rests on it: a commit is visible first and flushed after, `flushed` tells when.
        overlappingSync: true,
        noSubdir: false,
        // Commits are grouped already; lmdb's own grouping by turn makes promises that nobody hears when they are rejected.
        eventTurnBatching: false,
      }),
    )
  } catch (e) {
    throw new Fault('store.folder', `the store in ${dir} cannot be opened: ${messageOf(e)}`, e)
  }
}

const PREFETCH_MS = 5_000

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
    // lmdb calls nobody back when it fails to prefetch: then the values are read as they are, a little later.
    let called = false
    const once = (): void => {
      clearTimeout(late)
      if (!called) done()
      called = true
    }
    const late = setTimeout(once, PREFETCH_MS)
    void this.#db.prefetch([...keys], once)
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
  #muted: Promise<boolean> | undefined

  constructor(db: RootDatabase<Uint8Array, Uint8Array>) {
    this.#db = db
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.size++
    this.#mute(this.#db.put(key, value))
  }

  remove(key: Uint8Array): void {
    this.size++
    this.#mute(this.#db.remove(key))
  }

  /** Operations of a batch share a promise, which is rejected along with the batch's own: that one is heard. */
  #mute(written: Promise<boolean>): void {
    if (written === this.#muted) return
    this.#muted = written
    written.then(undefined, () => {})
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
