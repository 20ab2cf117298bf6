import { mkdirSync, rmSync } from 'node:fs'
import type { Kv } from '../vendor/lmdb/kv.ts'
import { openLmdb } from '../vendor/lmdb/open.ts'

/** An empty store in `dir`: what an earlier process left there is a copy of something, and out of date. */
export function openScratch(dir: string): Kv {
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  return openLmdb(dir)
}
