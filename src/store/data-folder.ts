import { readFileSync } from 'node:fs'
import { link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { systemClock, type Clock } from '../runtime/clock.ts'
import { Fault } from '../runtime/errors.ts'
import { randomId } from '../runtime/random.ts'

/** Layout of the data folder as a whole; what stands in it has versions of its own. */
const FORMAT_VERSION = '1'
/** The lock's time is renewed so often, for those who cannot see this process. */
const HEARTBEAT_MS = 10_000
/** A lock of another machine, or container, is dead when it was not renewed for so long. */
const DEAD_MS = 60_000

/** Who holds a data folder. The start time tells a process from a later one with the same pid. */
interface Holder {
  readonly pid: number
  /** As the system counts it, '' where it does not tell. */
  readonly started: string
  readonly host: string
  readonly id: string
}

export interface DataFolderLock {
  release(): Promise<void>
}

/**
 * Takes the data folder for this process, making it when it is not there. A lock left by a process that is gone is taken over.
 * Rejects with 'store.locked', naming the process that has it, and with 'store.format' for the data of another version.
 */
export async function lockDataFolder(dir: string, clock: Clock = systemClock): Promise<DataFolderLock> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const path = join(dir, 'lock')
  const me: Holder = { pid: process.pid, started: startOf(process.pid), host: hostname(), id: randomId() }
  const text = JSON.stringify(me)
  const mine = join(dir, `lock.${me.id}`)
  await writeFile(mine, text, { mode: 0o600 })
  try {
    await take(path, mine, dir, clock)
  } finally {
    await rm(mine, { force: true })
  }
  const release = async (): Promise<void> => {
    beat.cancel()
    if ((await content(path)) === text) await rm(path, { force: true })
  }
  const beat = clock.every(HEARTBEAT_MS, () => {
    const seconds = clock.wall() / 1000
    utimes(path, seconds, seconds).catch(() => {
      // The next one tries again; only another machine would miss it.
    })
  })
  try {
    await checkFormat(dir)
  } catch (e) {
    await release()
    throw e
  }
  return { release }
}

/** Links our file to the name of the lock: that succeeds for one process alone. */
async function take(path: string, mine: string, dir: string, clock: Clock): Promise<void> {
  for (let tries = 0; tries < 5; tries++) {
    if (await linked(mine, path)) return
    const found = await content(path)
    if (found === undefined) continue
    const holder = readHolder(found)
    if (holder !== undefined && (await alive(holder, path, clock))) throw locked(dir, holder)
    // Moved aside rather than deleted: if somebody else has taken over meanwhile, it is their live lock and goes back.
    const aside = `${mine}.stale`
    await rename(path, aside).catch(() => {})
    const moved = await content(aside)
    if (moved !== undefined && moved !== found) await linked(aside, path)
    await rm(aside, { force: true })
  }
  throw new Fault('store.locked', `the data folder ${dir} is being taken by another gateway at this moment`)
}

function locked(dir: string, { pid, host }: Holder): Fault {
  const where = host === hostname() ? '' : ` on ${host}`
  return new Fault(
    'store.locked',
    `the data folder ${dir} serves the gateway with process id ${pid}${where}; stop it, or use another --data`,
  )
}

async function alive(h: Holder, path: string, clock: Clock): Promise<boolean> {
  if (h.host !== hostname()) {
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: 0 }))
    return clock.wall() - mtimeMs < DEAD_MS
  }
  if (!exists(h.pid)) return false
  const started = startOf(h.pid)
  return started === '' || h.started === '' || started === h.started
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (e) {
    // EPERM: it is there and belongs to somebody else.
    return (e as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** When a process started, in the system's own count since boot (Linux, proc(5) stat field 22), and the boot it belongs to. */
function startOf(pid: number): string {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const afterName = line.slice(line.lastIndexOf(')') + 2).split(' ')
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot}/${afterName[19] ?? ''}`
  } catch {
    return ''
  }
}

function readHolder(text: string): Holder | undefined {
  try {
    const h = JSON.parse(text) as Partial<Holder>
    const { pid, started = '', host = '', id = '' } = h
    return typeof pid === 'number' && pid > 0 ? { pid, started, host, id } : undefined
  } catch {
    return undefined
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw e
  }
}

function content(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined)
}

async function checkFormat(dir: string): Promise<void> {
  const path = join(dir, 'format')
  const found = await content(path)
  if (found === undefined) return writeFile(path, `${FORMAT_VERSION}\n`, { mode: 0o600 })
  const version = found.trim()
  if (version !== FORMAT_VERSION) {
    throw new Fault('store.format', `the data folder ${dir} has format ${version}, this version reads ${FORMAT_VERSION}`)
  }
}
