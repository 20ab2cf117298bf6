import type { Clock } from '../../src/runtime/clock.ts'
import { MemoryKv } from '../../src/store/memory-kv.ts'
import type { Batch, Entry, Kv } from '../../src/vendor/lmdb/kv.ts'

interface Op {
  readonly key: Uint8Array
  readonly value: Uint8Array | undefined
}

/** What becomes of a commit: `hangs` is visible and never flushed, `lost` is not even visible and nobody hears of it. */
export type Fate = 'durable' | 'hangs' | 'lost' | { readonly error: Error; readonly visible: boolean }

/** A store whose commits end as the test says. What is visible in `disk` is what the next process finds. */
export class FaultyKv implements Kv {
  readonly disk: MemoryKv
  commits = 0
  ops = 0
  mostOps = 0
  removes = 0
  /** Asked once a commit, before it is applied. */
  fate: (commit: number, opsBefore: number, opsAfter: number) => Fate = () => 'durable'

  constructor(clock: Clock, disk: MemoryKv = new MemoryKv(clock)) {
    this.disk = disk
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.disk.get(key)
  }
  range(from: Uint8Array, to: Uint8Array, most: number, reverse?: boolean): Entry[] {
    return this.disk.range(from, to, most, reverse)
  }
  keys(from: Uint8Array, to: Uint8Array, most: number, reverse?: boolean): Uint8Array[] {
    return this.disk.keys(from, to, most, reverse)
  }
  prefetch(keys: readonly Uint8Array[], done: () => void): void {
    this.disk.prefetch(keys, done)
  }
  close(): Promise<void> {
    return Promise.resolve()
  }

  commit(write: (b: Batch) => void, done: (error: Error | undefined) => void): void {
    const ops: Op[] = []
    const batch = {
      get size() {
        return ops.length
      },
      put: (key: Uint8Array, value: Uint8Array) => void ops.push({ key, value }),
      remove: (key: Uint8Array) => void ops.push({ key, value: undefined }),
    }
    write(batch)
    const before = this.ops
    this.ops += ops.length
    this.mostOps = Math.max(this.mostOps, ops.length)
    const fate = this.fate(++this.commits, before, this.ops)
    if (fate === 'lost') return
    const error = typeof fate === 'object' ? fate.error : undefined
    const visible = typeof fate === 'object' ? fate.visible : true
    this.removes += visible ? ops.filter((op) => op.value === undefined).length : 0
    this.disk.commit(
      (b) => {
        for (const { key, value } of visible ? ops : []) {
          if (value === undefined) b.remove(key)
          else b.put(key, value)
        }
      },
      () => {
        if (fate !== 'hangs') done(error)
      },
    )
  }
}

/** As the file system says it. */
export const NO_SPACE = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
