import { spawn, type ChildProcess } from 'node:child_process'
import { get } from 'node:http'
import { connect, createServer, Socket } from 'node:net'
import type { ProcessPlan } from '../contract/plan.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import { Secret } from '../runtime/secret.ts'
import { drainLines } from './lines.ts'
import type { Pod, PodEvents, PodParts } from './pod.ts'
import { groupListensOn, signalGroup } from './process-table.ts'

/** How often a starting pod is asked, and how long one question may take. */
const PROBE_EVERY_MS = 25
const PROBE_TIMEOUT_MS = 1_000

/**
 * A pod waits on descriptor 3 until it is in the list of the reaper: killed before that, the gateway leaves an end of file,
 * and the command never runs. So there is no moment in which a pod could outlive the gateway.
 */
const WAITING_START = 'read -r go <&3 || exit 0; exec 3<&-; unset go PWD OLDPWD SHLVL; exec "$@"'
/** How a shell ends that could not run the command. POSIX, Shell Command Language §2.8.2 */
const NOT_RUN: Readonly<Record<number, string>> = { 126: 'it may not be executed', 127: 'it was not found' }

/** A pod as a process group of this machine: starting → ready → gone, each told once. */
export function startProcessPod(plan: ProcessPlan, parts: PodParts, events: PodEvents): Pod {
  let child: ChildProcess | null = null
  let port = 0
  let gone = false
  let stopping = false
  let probe: Timer | null = null
  let killTimer: Timer | null = null
  const { clock, log } = parts

  const end = (why: string): void => {
    if (gone) return
    gone = true
    probe?.cancel()
    killTimer?.cancel()
    const pid = child?.pid
    if (pid !== undefined) {
      // The leader is gone; whatever it left in its group must not outlive it.
      signalGroup(pid, 'SIGKILL')
      parts.table.remove(pid)
      parts.reaper.remove(pid)
    }
    events.gone(stopping ? '' : why)
  }

  freePort().then(
    (free) => {
      if (stopping) return end('')
      port = free
      child = launch(plan, parts, port, end)
      if (child?.pid === undefined) return
      parts.table.add(child.pid)
      parts.reaper.add(child.pid)
      letGo(child)
      probe = clock.after(plan.initialDelayMs + PROBE_EVERY_MS, ask)
    },
    (e: unknown) => end(`no port: ${messageOf(e)}`),
  )

  const ask = (): void => {
    if (gone || child?.pid === undefined) return
    const group = child.pid
    answers(plan, port, clock, (yes) => {
      if (gone || stopping) return
      if (yes && groupListensOn(group, port)) events.ready({ protocol: 'http:', host: '127.0.0.1', port, caCerts: '' })
      else probe = clock.after(Math.max(PROBE_EVERY_MS, plan.readiness.kind === 'http' ? plan.readinessPeriodMs : 0), ask)
    })
  }

  return {
    get pid() {
      return child?.pid ?? 0
    },
    stop(graceMs) {
      if (gone || stopping) return
      stopping = true
      const pid = child?.pid
      if (pid === undefined) return
      log.debug('stopping', { pid })
      signalGroup(pid, 'SIGTERM')
      killTimer = clock.after(graceMs, () => signalGroup(pid, 'SIGKILL'))
    },
    kill() {
      stopping = true
      const pid = child?.pid
      if (pid !== undefined) signalGroup(pid, 'SIGKILL')
    },
  }
}

function launch(plan: ProcessPlan, parts: PodParts, port: number, end: (why: string) => void): ChildProcess | null {
  const { log } = parts
  const [command, ...args] = plan.command
  if (command === undefined) {
    end('the command is empty')
    return null
  }
  const child = spawn('/bin/sh', ['-c', WAITING_START, 'sh', command, ...args], {
    cwd: plan.workingDir === '' ? undefined : plan.workingDir,
    env: environmentOf(plan, parts, port),
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    detached: true,
  })
  child.on('error', (e) => end(`cannot run ${command}: ${e.message}`))
  child.on('exit', (code, signal) => {
    if (signal !== null) return end(`ended by ${signal}`)
    const notRun = NOT_RUN[code ?? 0]
    end(notRun === undefined ? `exited with ${code}` : `cannot run ${command}: ${notRun} (exited with ${code})`)
  })
  if (child.stdout !== null) drainLines(child.stdout, (line) => log.info(line, { stream: 'stdout' }))
  if (child.stderr !== null) drainLines(child.stderr, (line) => log.info(line, { stream: 'stderr' }))
  return child
}

/** Its command may run now. */
function letGo(child: ChildProcess): void {
  const gate = child.stdio[3]
  if (!(gate instanceof Socket)) throw new Error('invariant broken: a pod waits on a socket')
  gate.on('error', () => {})
  gate.end('go\n')
}

/** PATH, HOME, the manifest's variables and Knative's, nothing of the gateway's own. Knative runtime contract §Process. */
function environmentOf(plan: ProcessPlan, parts: PodParts, port: number): Record<string, string> {
  const env: Record<string, string> = { PATH: parts.inherited.path, HOME: parts.inherited.home }
  for (const [name, value] of plan.env) env[name] = value instanceof Secret ? value.reveal() : value
  env['PORT'] = String(port)
  env['HOST'] = '127.0.0.1'
  env['K_SERVICE'] = parts.service
  env['K_CONFIGURATION'] = parts.service
  env['K_REVISION'] = parts.revision
  env['K_POD'] = parts.name
  return env
}

/** A port nobody listens on at the moment. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

function answers(plan: ProcessPlan, port: number, clock: Clock, tell: (yes: boolean) => void): void {
  let told = false
  const once = (yes: boolean): void => {
    if (told) return
    told = true
    timer.cancel()
    tell(yes)
  }
  const timer = clock.after(PROBE_TIMEOUT_MS, () => {
    once(false)
    probe.destroy()
  })
  const readiness = plan.readiness
  const probe =
    readiness.kind === 'http'
      ? get(
          { host: '127.0.0.1', port, path: readiness.path, headers: Object.fromEntries(readiness.headers), agent: false },
          (res) => {
            res.resume()
            const status = res.statusCode ?? 0
            once(status >= 200 && status < 400)
          },
        )
      : connect({ host: '127.0.0.1', port }, () => {
          once(true)
          probe.destroy()
        })
  probe.on('error', () => once(false))
}
