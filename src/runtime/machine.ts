import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { totalmem } from 'node:os'

/** Memory this process may use, bytes: the control group's limit where there is one, else the machine's. */
export function memoryLimitBytes(): number {
  for (const file of ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']) {
    try {
      const limit = Number(readFileSync(file, 'utf8').trim())
      if (Number.isFinite(limit) && limit > 0 && limit < totalmem()) return limit
    } catch {
      // Not this kind of control group.
    }
  }
  return totalmem()
}

/** What the process itself uses. */
export interface ProcessReadings {
  readonly cpuS: number
  readonly rssBytes: number
  readonly uptimeS: number
  /** Longest delay of the event loop since the last reading, s. */
  readonly loopLagS: number
}

/** Starts watching the event loop; each call reads and begins a new interval. */
export function watchProcess(): () => ProcessReadings {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  return () => {
    const cpu = process.cpuUsage()
    const loopLagS = Math.max(0, delay.max / 1e9 - 0.01)
    delay.reset()
    return {
      cpuS: (cpu.user + cpu.system) / 1e6,
      rssBytes: process.memoryUsage.rss(),
      uptimeS: process.uptime(),
      loopLagS: Number.isFinite(loopLagS) ? loopLagS : 0,
    }
  }
}
