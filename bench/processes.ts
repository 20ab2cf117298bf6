import { type ChildProcess, spawn, execFileSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { cpus } from 'node:os'

/** A process under measurement, or beside it. */
export interface Measured {
  readonly pid: number
  /** Waits for the next message of that name. */
  message<T>(name: string): Promise<T>
  ask<T>(name: string, value?: unknown): Promise<T>
  stop(): Promise<void>
  readonly output: string[]
}

interface Message {
  readonly name: string
  readonly value: unknown
}

const open = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of open) child.kill('SIGKILL')
})

/** Core 0 is for the system under test, core 1 for everything around it; without two cores or taskset nothing is pinned. */
export type Core = 0 | 1

function pinned(core: Core): string[] {
  if (cpus().length < 2) return []
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' })
    return ['taskset', '-c', String(core)]
  } catch {
    return []
  }
}

/** Starts `node script args…`, with a channel for messages when `channel` says so. */
export function start(
  script: string,
  args: readonly string[],
  core: Core,
  channel = true,
  env: Readonly<Record<string, string>> = {},
): Measured {
  const [command = process.execPath, ...rest] = [...pinned(core), process.execPath, script, ...args]
  const child = spawn(command, rest, {
    stdio: channel ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  open.add(child)
  const output: string[] = []
  const keep = (chunk: Buffer): void => {
    output.push(chunk.toString())
    if (output.length > 1_000) output.shift()
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  const waiting = new Map<string, (value: unknown) => void>()
  const early = new Map<string, unknown>()
  child.on('message', (m: Message) => {
    const f = waiting.get(m.name)
    waiting.delete(m.name)
    if (f === undefined) early.set(m.name, m.value)
    else f(m.value)
  })
  const message = <T>(name: string): Promise<T> =>
    new Promise((resolve, reject) => {
      if (early.has(name)) {
        resolve(early.get(name) as T)
        early.delete(name)
        return
      }
      waiting.set(name, resolve as (value: unknown) => void)
      child.once('exit', (code) => reject(new Error(`${script} ended with ${code}: ${output.slice(-5).join('')}`)))
    })
  return {
    pid: child.pid ?? 0,
    output,
    message,
    ask(name, value) {
      child.send({ name, value })
      return message(name)
    },
    stop() {
      return new Promise((resolve) => {
        const gone = (): void => {
          open.delete(child)
          resolve()
        }
        if (child.exitCode !== null || child.signalCode !== null) return gone()
        child.once('exit', gone)
        child.kill('SIGTERM')
      })
    },
  }
}

/** Answers messages of a child of `start`. */
export function serve(handlers: Readonly<Record<string, (value: never) => unknown>>): void {
  process.on('message', (m: Message) => {
    void Promise.resolve(handlers[m.name]?.(m.value as never)).then((value) => process.send?.({ name: m.name, value }))
  })
  process.on('disconnect', () => process.exit(0))
}

const TICK_MS = 1_000 / Number(execFileSync('getconf', ['CLK_TCK']).toString())

/** CPU time of a process and everything below it, ms: of its threads to the nanosecond, of children that ended in ticks. */
export function cpuMs(pid: number): number {
  const ended = statOf(pid).slice(13, 15)
  const endedMs = ended.reduce((sum, ticks) => sum + Number(ticks) * TICK_MS, 0)
  return treeOf(pid).reduce((sum, p) => sum + threadsMs(p), endedMs)
}

/** proc(5): the first number of schedstat is the time spent on a processor, ns; of all threads that live. */
function threadsMs(pid: number): number {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    return threads.reduce(
      (sum, t) => sum + Number(readFileSync(`/proc/${pid}/task/${t}/schedstat`, 'latin1').split(' ')[0]) / 1e6,
      0,
    )
  } catch {
    const [user = 0, system = 0] = statOf(pid).slice(11, 13)
    return (Number(user) + Number(system)) * TICK_MS
  }
}

/** Resident memory of the process itself, MB. */
export function rssMb(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(line?.[1] ?? 0) / 1_024
}

function statOf(pid: number): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}

function treeOf(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = Number(statOf(Number(name))[1] ?? 0)
    children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const all = [pid]
  for (let i = 0; i < all.length; i++) all.push(...(children.get(all[i] ?? 0) ?? []))
  return all
}
