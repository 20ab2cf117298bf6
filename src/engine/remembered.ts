import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'

/** What a file of the data folder holds; [] where there is none, or where it cannot be read, aloud: `lost` says what that means. */
export function readList(file: string, log: Log, lost: string): readonly unknown[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return []
  }
  try {
    const list: unknown = JSON.parse(text)
    if (Array.isArray(list)) return list
    throw new Error('it is no list')
  } catch (e) {
    log.warn(lost, { file, error: messageOf(e) })
    return []
  }
}

/** Written beside and renamed, so that a crash leaves the old list or the new one. */
export function writeList(file: string, list: readonly unknown[]): void {
  writeFileSync(`${file}.new`, JSON.stringify(list), { mode: 0o600 })
  renameSync(`${file}.new`, file)
}
