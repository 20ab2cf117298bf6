import { spawn, type ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'

/**
 * Runs a server so that it can never outlive the test process, however that one ends: a shell holds the reading end of a
 * pipe whose only writer is the test process, and kills the server when the pipe closes.
 */
const WATCHED = `
exec 3<&0
"$@" </dev/null >>"$LOG_FILE" 2>&1 3<&- &
server=$!
echo $server
(read -r _ <&3; trap '' TERM; kill -9 $server; [ -n "$REMOVE_AFTER" ] && sleep 0.2 && rm -rf "$REMOVE_AFTER") >/dev/null 2>&1 &
watchdog=$!
wait $server
status=$?
kill $watchdog 2>/dev/null
exit $status
`

export interface WatchedServer {
  readonly pid: number
  readonly exited: Promise<number>
  readonly running: () => boolean
  kill(signal: NodeJS.Signals): Promise<void>
}

/** `removeAfter`: a folder that goes when the test process died without stopping the server. */
export async function startWatched(
  command: string,
  args: readonly string[],
  logFile: string,
  removeAfter = '',
): Promise<WatchedServer> {
  const shell: ChildProcess = spawn('sh', ['-c', WATCHED, 'sh', command, ...args], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, LOG_FILE: logFile, REMOVE_AFTER: removeAfter },
  })
  let alive = true
  const exited = new Promise<number>((resolve) => {
    shell.on('exit', (code) => {
      alive = false
      resolve(code ?? -1)
    })
    shell.on('error', () => {
      alive = false
      resolve(-1)
    })
  })
  const pid = await new Promise<number>((resolve, reject) => {
    shell.stdout?.once('data', (text: Buffer) => resolve(Number(text.toString().trim())))
    void exited.then((code) => reject(new Error(`${command} could not be started: exit ${code}, see ${logFile}`)))
  })
  return {
    pid,
    exited,
    running: () => alive,
    async kill(signal) {
      if (!alive) return
      process.kill(pid, signal)
      await exited
    },
  }
}

/** Ports that were free a moment ago; held together while they are chosen, so that they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(0, '127.0.0.1', resolve)
      })
      return server
    }),
  )
  const ports = servers.map((s) => {
    const address = s.address()
    if (address === null || typeof address === 'string') throw new Error('no port was given')
    return address.port
  })
  await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))))
  return ports
}
