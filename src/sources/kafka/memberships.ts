import type { Key } from '../../contract/ids.ts'

/** Who a reader is in its consumer group, kept where the next process on the same data folder finds it. */
export interface MemberNote {
  /**
   * Member id a process before this one had; '' = it left, or there was none. That process is gone, but its group would wait for it
   * until its session is over: whoever comes after it takes it out.
   */
  readonly predecessor: string
  /** '' = it has left. */
  write(memberId: string): void
}

/** A file that is read once and replaced as a whole. */
export interface NoteFile {
  readonly stored: string
  store(text: string): void
}

/**
 * The notes of all readers of a gateway. A note is handed over once: who reads again in this process is its own successor, and
 * two sources of one gateway may be members of the same group.
 */
export class Memberships {
  readonly #file: NoteFile
  readonly #notes: Map<string, string>
  readonly #taken = new Set<string>()

  constructor(file: NoteFile) {
    this.#file = file
    this.#notes = new Map(notesIn(file.stored))
  }

  of(reader: Key, group: string): MemberNote {
    const name = `${reader} ${group}`
    const predecessor = this.#taken.has(name) ? '' : (this.#notes.get(name) ?? '')
    this.#taken.add(name)
    return { predecessor, write: (memberId) => this.#write(name, memberId) }
  }

  #write(name: string, memberId: string): void {
    if ((this.#notes.get(name) ?? '') === memberId) return
    if (memberId === '') this.#notes.delete(name)
    else this.#notes.set(name, memberId)
    this.#file.store(JSON.stringify(Object.fromEntries(this.#notes)))
  }
}

/** A file that was cut off or changed by hand says nothing. */
function notesIn(text: string): [string, string][] {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed !== 'object' || parsed === null) return []
    return Object.entries(parsed).filter((e): e is [string, string] => typeof e[1] === 'string')
  } catch {
    return []
  }
}
