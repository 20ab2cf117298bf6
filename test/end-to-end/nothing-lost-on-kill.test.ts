import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { broker, post, startGateway, temporaryFolder, trigger, type RunningGateway } from '../gateway.ts'
import { startSink, type Sink } from '../sink.ts'
import { until } from '../until.ts'

/** A few kills in every run, many under `npm run test:soak`. */
const ROUNDS = process.env['SOAK'] === undefined ? 2 : 30
/** A position is durable at the latest this long after it was settled. */
const RECORD_MS = 500

const open: { gateways: RunningGateway[]; sinks: Sink[] } = { gateways: [], sinks: [] }
afterEach(async () => {
  for (const g of open.gateways.splice(0)) await g.kill()
  for (const s of open.sinks.splice(0)) await s.close()
})

describe('SIGKILL of the gateway in full flow', () => {
  test.each(Array.from({ length: ROUNDS }, (_, i) => i + 1))(
    'round %i: every acknowledged event arrives, duplicates stay within the bound',
    async (round) => {
      const data = join(temporaryFolder(), 'data')
      const sink = await startSink((_seen, response) => setTimeout(() => response.writeHead(200).end(), 5))
      open.sinks.push(sink)
      const manifests = [
        broker(),
        trigger('all', sink.url, {
          annotations: { 'sluice.dev/max-concurrency': '32' },
          spec: { delivery: { retry: 10, backoffPolicy: 'linear', backoffDelay: 'PT0.05S' } },
        }),
      ]
      let gateway = await startGateway({ manifests, data })
      open.gateways.push(gateway)
      const acknowledged = new Set<string>()
      const producing = new AbortController()
      let serial = 0
      const producer = async (): Promise<void> => {
        while (!producing.signal.aborted) {
          const id = `r${round}-${serial++}`
          try {
            if ((await post(`${gateway.listen}/default/default`, id)) === 202) acknowledged.add(id)
          } catch {
            await new Promise((resolve) => setImmediate(resolve))
          }
        }
      }
      const producers = Array.from({ length: 8 }, producer)
      await until('the flow is full', () => sink.seen.length > 200 * (1 + (round % 3)))
      await gateway.kill()
      const killedMs = performance.now()
      gateway = await startGateway({ manifests, data })
      open.gateways.push(gateway)
      await until('the flow is full again', () => sink.seen.filter((s) => s.atMs > killedMs).length > 200)
      producing.abort()
      await Promise.all(producers)
      await until('every acknowledged event has arrived', () => {
        const counts = sink.counts()
        return [...acknowledged].every((id) => counts.has(id))
      })
      // What was in flight, and what was settled since the last durable position.
      const bound = 32 + sink.seen.filter((s) => s.atMs > killedMs - RECORD_MS && s.atMs <= killedMs).length
      const duplicates = [...sink.counts().values()].reduce((sum, n) => sum + n - 1, 0)
      expect(acknowledged.size).toBeGreaterThan(400)
      expect(duplicates).toBeLessThanOrEqual(bound)
      expect(sink.mostInFlight()).toBeLessThanOrEqual(64)
    },
  )
})
