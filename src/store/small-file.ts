import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'

/** A file that is read once and replaced as a whole, for what can be found anew: it is not waited for the disk. */
export interface SmallFile {
  /** '' = there is none, or it cannot be read. */
  readonly stored: string
  store(text: string): void
}

export function openSmallFile(file: string, log: Log): SmallFile {
  let stored = ''
  try {
    if (existsSync(file)) stored = readFileSync(file, 'utf8')
  } catch (e) {
    log.warn('a file of the data folder cannot be read', { file, error: messageOf(e) })
  }
  return {
    stored,
    store(text) {
      try {
        writeFileSync(`${file}.new`, text, { mode: 0o600 })
        renameSync(`${file}.new`, file)
      } catch (e) {
        log.warn('a file of the data folder cannot be written', { file, error: messageOf(e) })
      }
    },
  }
}
