import { mkdirSync, rmSync } from 'node:fs'
import type { Kv } from '../vendor/lmdb/kv.ts'
import { openLmdb } from '../vendor/lmdb/open.ts'

/** Copies of events stay no longer than somebody may look at them. */
export function clearScratch(dir: string): void {
  rmSync(dir, { recursive: true, force: true })
}

/** An empty store in `dir`: what an earlier process left there is a copy of something, and out of date. */
export function openScratch(dir: string): Kv {
  clearScratch(dir)
  mkdirSync(dir, { recursive: true })
  return openLmdb(dir)
}
