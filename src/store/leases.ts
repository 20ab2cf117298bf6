import { closeSync, existsSync, fstatSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import type { Lease, LeaseStore } from '../contract/leases.ts'
import type { Clock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'

/** Callbacks that are remembered as answered, so that a repeat is told from a late one. */
const MOST_ANSWERED = 10_000
/** The file is written anew once it has this many bytes and most of them are past. */
const COMPACT_BYTES = 4 << 20

export interface KeptLeases extends LeaseStore {
  /** Open, whether or not its subscription runs. */
  has(token: string): boolean
  answered(token: string): boolean
  close(): void
}

type Line = { readonly lease: Lease } | { readonly end: string; readonly answered: boolean }

/**
 * A journal of JSON lines: written at once and without waiting for the disk, as long work is rare and what a power cut takes
 * away is delivered again. A line that cannot be read is passed over: the last one may be torn.
 */
export function openLeases(file: string, clock: Clock, log: Log): KeptLeases {
  const open = new Map<string, Lease>()
  const answered = new Set<string>()
  const apply = (line: Line): void => {
    if ('lease' in line) open.set(line.lease.token, line.lease)
    else {
      open.delete(line.end)
      if (line.answered) remember(answered, line.end)
    }
  }
  if (existsSync(file)) for (const text of readFileSync(file, 'utf8').split('\n')) readLine(text, apply)
  let fd = -1
  let bytes = 0
  let failing = false
  const compact = (): void => {
    const nowMs = clock.wall()
    for (const [token, lease] of open) if (lease.untilMs <= nowMs) open.delete(token)
    const lines = [
      ...[...answered].map((end): Line => ({ end, answered: true })),
      ...[...open.values()].map((lease): Line => ({ lease })),
    ]
    writeFileSync(`${file}.new`, lines.map((l) => JSON.stringify(l) + '\n').join(''), { mode: 0o600 })
    renameSync(`${file}.new`, file)
    if (fd >= 0) closeSync(fd)
    fd = openSync(file, 'a', 0o600)
    bytes = fstatSync(fd).size
  }
  const write = (line: Line): void => {
    apply(line)
    // Closed: what ends now is told by its own time to the next process.
    if (fd < 0) return
    try {
      bytes += writeSync(fd, JSON.stringify(line) + '\n')
      if (bytes > COMPACT_BYTES) {
        compact()
        if (bytes > COMPACT_BYTES / 2) bytes = 0
      }
      failing = false
    } catch (e) {
      if (!failing)
        log.error('leases of long work cannot be stored: a restart now would deliver that work again', { error: messageOf(e) })
      failing = true
    }
  }
  compact()
  return {
    of: (sub) => [...open.values()].filter((l) => l.sub === sub && l.untilMs > clock.wall()),
    save: (lease) => write({ lease }),
    end(token, wasAnswered) {
      if (open.has(token) || wasAnswered) write({ end: token, answered: wasAnswered })
    },
    has: (token) => (open.get(token)?.untilMs ?? 0) > clock.wall(),
    answered: (token) => answered.has(token),
    close() {
      if (fd >= 0) closeSync(fd)
      fd = -1
    },
  }
}

function remember(answered: Set<string>, token: string): void {
  answered.add(token)
  if (answered.size <= MOST_ANSWERED) return
  const [oldest] = answered
  answered.delete(oldest as string)
}

function readLine(text: string, apply: (line: Line) => void): void {
  if (text === '') return
  try {
    const line = JSON.parse(text) as { readonly lease?: Lease; readonly end?: string; readonly answered?: boolean }
    if (line.lease !== undefined) apply({ lease: line.lease })
    else if (typeof line.end === 'string') apply({ end: line.end, answered: line.answered === true })
  } catch {
    return
  }
}
