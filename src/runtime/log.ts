import { writeSync } from 'node:fs'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, unknown>>

/** One JSON object a line: `time`, `level`, `message` and the fields. */
export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** The same log with these fields on every line. */
  with(fields: LogFields): Log
}

/** Where lines go. `write` must not block and says whether the line was taken. */
export interface LogSink {
  write(line: string): boolean
}

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }

export function createLog(sink: LogSink, level: LogLevel, wall: () => number, fields: LogFields = {}): Log {
  const put = (at: LogLevel, message: string, more: LogFields | undefined): void => {
    if (RANK[at] < RANK[level]) return
    const line = { time: new Date(wall()).toISOString(), level: at, message, ...fields, ...more }
    sink.write(JSON.stringify(line, errorsAsText) + '\n')
  }
  return {
    debug: (m, f) => put('debug', m, f),
    info: (m, f) => put('info', m, f),
    warn: (m, f) => put('warn', m, f),
    error: (m, f) => put('error', m, f),
    with: (more) => createLog(sink, level, wall, { ...fields, ...more }),
  }
}

function errorsAsText(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.cause instanceof Error ? `${value.message}: ${value.cause.message}` : value.message
  return typeof value === 'bigint' ? Number(value) : value
}

/**
 * Standard error, never blocking: what it does not take is kept up to `mostBytes`, then lines are dropped and their
 * number is logged once it takes again.
 */
export function stderrSink(mostBytes = 1 << 20): LogSink & { dropped(): number; flushNow(): void } {
  let waiting: string[] = []
  let waitingBytes = 0
  let dropped = 0
  let unsaid = 0
  let busy = false
  const stream = process.stderr
  const pump = (): void => {
    if (busy || waiting.length === 0) return
    if (unsaid > 0) {
      waiting.push(JSON.stringify({ level: 'warn', message: 'log lines were dropped', lines: unsaid }) + '\n')
      unsaid = 0
    }
    const text = waiting.join('')
    waiting = []
    waitingBytes = 0
    busy = true
    stream.write(text, () => {
      busy = false
      pump()
    })
  }
  stream.on('error', () => {})
  return {
    write(line) {
      if (waitingBytes + line.length > mostBytes) {
        dropped++
        unsaid++
        return false
      }
      waiting.push(line)
      waitingBytes += line.length
      pump()
      return true
    },
    dropped: () => dropped,
    /** For the last words before `process.exit`. */
    flushNow() {
      try {
        if (waiting.length > 0) writeSync(2, waiting.join(''))
      } catch {
        // Nobody reads standard error any more: nothing is left to tell.
      }
      waiting = []
    },
  }
}

export const SILENT_LOG: Log = createLog({ write: () => true }, 'error', () => 0)
