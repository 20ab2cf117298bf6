import { closeSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { diskOf } from './disk.ts'

const BALLAST_BYTES = 4 * 2 ** 20
/** Of a small disk it takes no more than this part. */
const MOST_OF_DISK = 1 / 64
/** It is laid in again only when so many times its size is free. */
const ROOM_TIMES = 8

/**
 * A file that only takes up room. It is thrown away when the disk is full to the last byte, so that settlements can be
 * written, events be deleted and their pages be used again: a store that could write nothing at all could never drain.
 */
export class Ballast {
  readonly #path: string
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
    this.#path = join(dir, 'ballast')
  }

  /** Lays it in when it is not there and there is room. */
  take(): void {
    try {
      if (statSync(this.#path, { throwIfNoEntry: false }) !== undefined) return
      const { freeBytes, totalBytes } = diskOf(this.#dir)
      const bytes = Math.min(BALLAST_BYTES, Math.floor(totalBytes * MOST_OF_DISK))
      if (freeBytes < ROOM_TIMES * bytes) return
      // Random, since zeros take no room on a file system that compresses.
      const file = openSync(this.#path, 'wx', 0o600)
      writeSync(file, randomBytes(bytes))
      closeSync(file)
    } catch {
      // Without it the store works as well, until the disk is full.
    }
  }

  drop(): void {
    rmSync(this.#path, { force: true })
  }
}
