import { mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'

/**
 * Start time of a process in clock ticks since boot, '' when there is no such process or no /proc. Together with the pid it
 * names a process for good: pids are given again, the pair is not. proc(5), field 22 of stat.
 */
export function startTimeOf(pid: number): string {
  return statFields(pid)[19] ?? ''
}

function statFields(pid: number): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}

/** Stops a whole process group; false when there is none. */
export function signalGroup(group: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(-group, signal)
    return true
  } catch {
    return false
  }
}

/**
 * Whether a member of the process group listens on the TCP port. A port may have gone to a stranger between choosing and
 * binding; a pod is ready only when its own socket answers. Where there is no /proc the answer is yes.
 */
export function groupListensOn(group: number, port: number): boolean {
  const inodes = new Set<string>()
  const wanted = port.toString(16).toUpperCase().padStart(4, '0')
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    let text: string
    try {
      text = readFileSync(table, 'latin1')
    } catch {
      continue
    }
    for (const line of text.split('\n')) {
      const fields = line.trim().split(/\s+/)
      if (fields[3] === '0A' && fields[1]?.endsWith(`:${wanted}`) && fields[9] !== undefined) inodes.add(`socket:[${fields[9]}]`)
    }
  }
  if (inodes.size === 0) return process.platform !== 'linux'
  return readdirSync('/proc').some(
    (name) => /^\d+$/.test(name) && statFields(Number(name))[2] === String(group) && holdsOneOf(name, inodes),
  )
}

function holdsOneOf(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`))
      } catch {
        return false
      }
    })
  } catch {
    return false
  }
}

/** The pods of this data folder as files `<pid>` holding the start time, so that the next start can end what is left. */
export interface ProcessTable {
  add(pid: number): void
  remove(pid: number): void
}

export function openProcessTable(dataDir: string, log: Log): ProcessTable {
  const dir = join(dataDir, 'pods')
  mkdirSync(dir, { recursive: true })
  for (const name of readdirSync(dir)) {
    const pid = Number(name)
    const started = readFileSync(join(dir, name), 'utf8')
    if (pid > 1 && started !== '' && startTimeOf(pid) === started) {
      log.warn('stopping a pod that an earlier run left behind', { pid })
      signalGroup(pid, 'SIGKILL')
    }
    rmSync(join(dir, name), { force: true })
  }
  return {
    add(pid) {
      try {
        writeFileSync(join(dir, String(pid)), startTimeOf(pid))
      } catch (e) {
        log.warn('a pod could not be recorded', { pid, error: messageOf(e) })
      }
    },
    remove(pid) {
      rmSync(join(dir, String(pid)), { force: true })
    },
  }
}
