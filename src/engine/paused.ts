import type { Key } from '../contract/ids.ts'
import type { Log } from '../runtime/log.ts'
import { readList, writeList } from './remembered.ts'

/** The subscriptions that people have paused: they stay so over a reload and a restart, until somebody resumes them. */
export interface Paused {
  has(key: Key): boolean
  add(keys: readonly Key[]): void
  remove(keys: readonly Key[]): void
}

/** Kept in `file`, written before `add` and `remove` return. */
export function openPaused(file: string, log: Log): Paused {
  const lost = 'the list of paused subscriptions cannot be read; they go on'
  const keys = new Set(readList(file, log, lost).filter((key) => typeof key === 'string'))
  return {
    has: (key) => keys.has(key),
    add(more) {
      for (const key of more) keys.add(key)
      writeList(file, [...keys])
    },
    remove(some) {
      let known = false
      for (const key of some) known = keys.delete(key) || known
      if (known) writeList(file, [...keys])
    },
  }
}
