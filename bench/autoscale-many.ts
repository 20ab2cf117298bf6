import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Scenario } from './figures.ts'
import { cpuMs, rssMb, start } from './processes.ts'

const SERVICES = 1_000
const MEASURED_MS = 10_000
/** With a count of one's own. */
const SHORT_MS = 3_000
const WARM_UP_MS = 3_000

/** A gateway's snapshot of so many Services whose load goes up and down, each with a period of its own. */
function snapshotAt(services: number, startMs: number): string {
  const now = performance.now()
  const seconds = (now - startMs) / 1_000
  const items = Array.from({ length: services }, (_, i) => {
    const inFlight = Math.max(0, Math.round(40 * Math.sin(seconds / (3 + (i % 17)) + i)))
    const pods = Math.ceil(inFlight / 10)
    return {
      key: `service/default/s${i}`,
      revision: `s${i}-00001`,
      gate: { inFlight, abandoned: 0, queuedRequests: 0, queuedEvents: 0, limit: 10 * pods, pods: [] },
      observation: {
        inFlight,
        queued: 0,
        backlog: 0,
        behindGate: 0,
        arrivals: Math.round(seconds * 100),
        arrivalsPerS: 100,
        serviceMs: 100,
        coldStartMs: 800,
        stable: null,
        panic: null,
        pods: Array.from({ length: pods }, (__, p) => ({
          name: `s${i}-${p}`,
          phase: 'ready',
          inFlight: 10,
          sinceMs: 0,
          idleSinceMs: null,
        })),
      },
      desired: pods,
    }
  })
  return JSON.stringify({ atMs: Date.now(), subscriptions: [], streams: [], services: items })
}

const manifest = (name: string): unknown => ({
  apiVersion: 'serving.knative.dev/v1',
  kind: 'Service',
  metadata: { name },
  spec: {
    template: {
      metadata: {
        annotations: { 'autoscaling.knative.dev/class': 'xpa.autoscaling.knative.dev', 'autoscaling.knative.dev/gc-time': '2' },
      },
      spec: { containerConcurrency: 10, containers: [{ image: 'registry.example.com/worker' }] },
    },
  },
})

/** A thousand Services in one autoscaler, decided twice a second. */
export const autoscaleMany: Scenario = {
  name: 'autoscale-many',
  about: '1,000 Services in one `sluice autoscale`, each decided twice a second',
  async run(count) {
    const services = count > 0 ? count : SERVICES
    const startMs = performance.now()
    let asked = 0
    const server = createServer((_request, response) => {
      asked++
      response.writeHead(200, { 'content-type': 'application/json' }).end(snapshotAt(services, startMs))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
    const file = join(folder, 'services.json')
    writeFileSync(
      file,
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: Array.from({ length: services }, (_, i) => manifest(`s${i}`)) }),
    )
    const sluice = join(import.meta.dirname, '..', 'bin', 'sluice.js')
    const child = start(sluice, ['autoscale', '-f', file, '--gateway', `http://127.0.0.1:${port}`], 0, false)
    try {
      while (asked === 0) await pause(50)
      await pause(WARM_UP_MS)
      const [cpuBefore, askedBefore, linesBefore, atMs] = [cpuMs(child.pid), asked, lines(child.output), performance.now()]
      await pause(count > 0 ? SHORT_MS : MEASURED_MS)
      const elapsedMs = performance.now() - atMs
      return [
        {
          name: 'CPU of one core',
          value: (100 * (cpuMs(child.pid) - cpuBefore)) / elapsedMs,
          unit: '%',
          target: { is: '<=', bound: 15 },
        },
        {
          name: 'looks a second',
          value: ((asked - askedBefore) * 1_000) / elapsedMs,
          unit: '/s',
          target: { is: '>=', bound: 1.8 },
        },
        {
          name: 'sizes changed a second',
          value: ((lines(child.output) - linesBefore) * 1_000) / elapsedMs,
          unit: '/s',
          target: { is: '>=', bound: 1 },
        },
        { name: 'memory', value: rssMb(child.pid), unit: 'MB' },
      ]
    } finally {
      await child.stop()
      server.closeAllConnections()
      server.close()
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

const lines = (output: readonly string[]): number => output.join('').split('\n').length

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
