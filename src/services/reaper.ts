import { spawn, type ChildProcess } from 'node:child_process'

/**
 * Ends every pod when the gateway dies in whatever way, SIGKILL included: a shell (1 MB, not a second Node) that reads
 * `+ pgid` and `- pgid` lines and, at the end of its input, stops the process groups that are left. It lives in a session
 * of its own and ignores the signals of the terminal, so that it outlives the gateway by just that work.
 */
const SCRIPT = `
trap '' INT TERM HUP
groups=' '
while read -r sign group; do
  case $sign in
    +) groups="$groups$group " ;;
    -) groups="\${groups%% $group *} \${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -TERM -"$group" 2>/dev/null; done
tries=0
while [ $tries -lt 20 ]; do
  left=''
  for group in $groups; do kill -0 -"$group" 2>/dev/null && left="$left $group"; done
  [ -z "$left" ] && exit 0
  tries=$((tries + 1))
  sleep 0.1
done
for group in $left; do kill -KILL -"$group" 2>/dev/null; done
exit 0
`

export interface Reaper {
  add(group: number): void
  remove(group: number): void
  /** Ends the reaper; whatever is still listed is stopped. */
  close(): void
  readonly pid: number
}

export function startReaper(): Reaper {
  const child: ChildProcess = spawn('/bin/sh', ['-c', SCRIPT], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: { PATH: '/usr/bin:/bin' },
  })
  child.on('error', () => {})
  child.stdin?.on('error', () => {})
  child.unref()
  const listed = new Set<number>()
  const say = (line: string): void => {
    child.stdin?.write(line)
  }
  return {
    pid: child.pid ?? 0,
    add(group) {
      listed.add(group)
      say(`+ ${group}\n`)
    },
    remove(group) {
      if (listed.delete(group)) say(`- ${group}\n`)
    },
    close() {
      child.stdin?.end()
    },
  }
}
