import { request } from 'node:http'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { POLICIES } from '../../src/autoscaler/simulator/policies.ts'
import { simulate } from '../../src/autoscaler/simulator/run.ts'
import type { Scene } from '../../src/autoscaler/simulator/scene.ts'
import { startGateway, temporaryFolder, type RunningGateway } from '../gateway.ts'
import { accountOf, service } from '../pods/service.ts'
import { until } from '../until.ts'

interface Pod {
  readonly name: string
  readonly phase: string
  readonly inFlight: number
}
interface View {
  readonly revisions: readonly {
    readonly desired: number
    readonly reason: string
    readonly trouble: string
    readonly observation: { readonly pods: readonly Pod[]; readonly inFlight: number; readonly queued: number }
  }[]
}

const SERVICE_MS = 300
const START_MS = 800
const LIMIT = 4
const GC_S = 3
const FROM_MS = 0
const WAVE_MS = 8_000
const EVERY_MS = 20

/** Stopped when its test is through: some of them run together. */
async function start(
  onTestFinished: (f: () => Promise<void>) => void,
  env: Record<string, string>,
  annotations: Record<string, string>,
): Promise<RunningGateway> {
  const g = await startGateway({ manifests: [service('worker', { containerConcurrency: LIMIT, env, annotations })] })
  onTestFinished(async () => void (await g.stop()))
  return g
}

async function pods(g: RunningGateway): Promise<readonly Pod[]> {
  const view = await g.api<View>('/api/v1/services/default/worker')
  return view.revisions[0]?.observation.pods ?? []
}
const alive = (list: readonly Pod[]): number => list.filter((p) => p.phase === 'ready' || p.phase === 'starting').length

/** One request to the Service by its host name, which fetch would not let through. */
function ask(g: RunningGateway, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(g.listen, { headers: { host: 'worker.default.example.com' }, signal }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
    })
    sent.on('error', reject)
    sent.end()
  })
}

/** Requests at a steady rate; resolves with the statuses once all are answered. */
async function wave(g: RunningGateway, forMs: number, everyMs: number): Promise<number[]> {
  const answers: Promise<number>[] = []
  const beginMs = performance.now()
  for (let i = 0; i * everyMs < forMs; i++) {
    const dueMs = beginMs + i * everyMs
    const waitMs = dueMs - performance.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    answers.push(ask(g, new AbortController().signal))
  }
  return Promise.all(answers)
}

/** The same scene on the virtual clock. */
function simulated(coldStartMs: number, minScale: number): { most: number; settled: number; end: number } {
  const arrivals = Float64Array.from({ length: WAVE_MS / EVERY_MS }, (_, i) => FROM_MS + i * EVERY_MS)
  const scene: Scene = {
    name: 'wave',
    group: 'beyond',
    about: 'a wave',
    arrivalsMs: arrivals,
    serviceMs: new Float32Array(arrivals.length).fill(SERVICE_MS),
    stored: [],
    storedServiceMs: SERVICE_MS,
    endMs: 30_000,
    limit: LIMIT,
    maxScale: 12,
  }
  const run = simulate(scene, POLICIES['xpa']!, {
    coldStartMs,
    minScale,
    seed: 1,
    change: { gcTimeMs: GC_S * 1000, podBufferSize: 1 },
  })
  return { most: run.tally.mostPods, settled: run.pods[WAVE_MS / 1000 - 1] ?? 0, end: run.pods.at(-1) ?? 0 }
}

describe('the real thing agrees with the simulation', () => {
  test('a wave from one pod: as many pods, and as few again', async ({ onTestFinished }) => {
    const g = await start(
      onTestFinished,
      { DELAY_MS: String(SERVICE_MS), START_MS: String(START_MS) },
      {
        'autoscaling.knative.dev/minScale': '1',
        'autoscaling.knative.dev/maxScale': '12',
        'autoscaling.knative.dev/pod-buffer-size': '1',
        'autoscaling.knative.dev/gc-time': String(GC_S),
      },
    )
    const beganMs = performance.now()
    await until('a pod is ready', async () => (await pods(g)).some((p) => p.phase === 'ready'))
    const startTookMs = performance.now() - beganMs
    let most = 0
    let settled = 0
    let over = 0
    const looking = setInterval(() => {
      void pods(g)
        .then((list) => {
          settled = alive(list)
          most = Math.max(most, settled)
          over = Math.max(over, ...list.map((p) => p.inFlight))
        })
        .catch(() => {})
    }, 250)
    const statuses = await wave(g, WAVE_MS, EVERY_MS)
    clearInterval(looking)
    const inWave = settled
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(over).toBeLessThanOrEqual(LIMIT)
    await until('the wave is over and its pods are gone', async () => alive(await pods(g)) === 1, 120_000)

    // Fifty a second of 300 ms are 15 slots: the margin and the buffer on top, in both worlds.
    // A slow machine starts its pods slowly, and needs as many more meanwhile.
    const model = simulated(Math.max(START_MS + 300, startTookMs), 1)
    expect(model.end).toBe(1)
    expect(Math.abs(inWave - model.settled), `${inWave} pods in the wave, simulated ${model.settled}`).toBeLessThanOrEqual(3)
    expect(Math.abs(most - model.most), `${most} pods at most, simulated ${model.most}`).toBeLessThanOrEqual(4)
  })

  test('a step from three: no pod over its limit, more pods for the load, three again', async ({ onTestFinished }) => {
    const account = join(temporaryFolder(), 'account')
    const g = await start(
      onTestFinished,
      { DELAY_MS: '300', ACCOUNT: account },
      {
        'autoscaling.knative.dev/minScale': '3',
        'autoscaling.knative.dev/maxScale': '8',
        'autoscaling.knative.dev/gc-time': '2',
      },
    )
    await until('three pods are ready', async () => (await pods(g)).filter((p) => p.phase === 'ready').length === 3)
    // 66 a second of 300 ms are 20 at once, and three pods have twelve credits.
    const statuses = await wave(g, 4_000, 15)
    expect(new Set(statuses)).toEqual(new Set([200]))
    const seen = accountOf(account)
    expect(seen.length).toBe(statuses.length)
    expect(Math.max(...seen.map((line) => line.concurrency))).toBeLessThanOrEqual(LIMIT)
    expect(new Set(seen.map((line) => line.pid)).size).toBeGreaterThan(3)
    await until('three pods are left', async () => alive(await pods(g)) === 3, 120_000)
  })

  // What follows waits more than it works, and compares itself with nothing: together.
  test.concurrent('load that stops while pods start: they are given up only after a while, and never wait for ever', async ({
    onTestFinished,
  }) => {
    const g = await start(
      onTestFinished,
      { DELAY_MS: '50', START_MS: '60000' },
      { 'autoscaling.knative.dev/minScale': '0', 'autoscaling.knative.dev/maxScale': '3' },
    )
    const control = new AbortController()
    const asked = ask(g, control.signal).catch(() => 0)
    await until('a pod starts', async () => (await pods(g)).some((p) => p.phase === 'starting'))
    control.abort()
    await asked
    await until('the start is given up', async () => alive(await pods(g)) === 0, 120_000)
  })

  test.concurrent('a step from zero waits for the first pod, loses nothing, and goes back to zero', async ({
    onTestFinished,
  }) => {
    const g = await start(
      onTestFinished,
      { DELAY_MS: '100', START_MS: '300' },
      {
        'autoscaling.knative.dev/minScale': '0',
        'autoscaling.knative.dev/maxScale': '6',
        'autoscaling.knative.dev/gc-time': '2',
      },
    )
    await until('there is no pod', async () => alive(await pods(g)) === 0)
    const statuses = await wave(g, 2_000, 50)
    expect(statuses).toEqual(statuses.map(() => 200))
    await until('there is no pod again', async () => alive(await pods(g)) === 0, 120_000)
  })

  test.concurrent('slow starts under growing load: starts under way are counted, nothing is lost, no pod beyond maxScale', async ({
    onTestFinished,
  }) => {
    const account = join(temporaryFolder(), 'account')
    const g = await start(
      onTestFinished,
      { DELAY_MS: '200', START_MS: '2500', ACCOUNT: account },
      {
        'autoscaling.knative.dev/minScale': '1',
        'autoscaling.knative.dev/maxScale': '5',
        'autoscaling.knative.dev/gc-time': '2',
      },
    )
    await until('a pod is ready', async () => (await pods(g)).some((p) => p.phase === 'ready'))
    let most = 0
    let looking = true
    const look = (async () => {
      while (looking) most = Math.max(most, alive(await pods(g)))
    })()
    const statuses = [...(await wave(g, 2_000, 60)), ...(await wave(g, 2_000, 30)), ...(await wave(g, 2_000, 15))]
    looking = false
    await look
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(Math.max(...accountOf(account).map((line) => line.concurrency))).toBeLessThanOrEqual(LIMIT)
    expect(most).toBeGreaterThan(1)
    expect(most).toBeLessThanOrEqual(5)
    await until('one pod is left', async () => alive(await pods(g)) === 1, 120_000)
  })

  test.concurrent('pods that crash are replaced one at a time, never in a storm', async ({ onTestFinished }) => {
    const g = await start(
      onTestFinished,
      { CRASH: '1' },
      { 'autoscaling.knative.dev/minScale': '3', 'autoscaling.knative.dev/maxScale': '5' },
    )
    const trouble = async (): Promise<string> =>
      (await g.api<View>('/api/v1/services/default/worker')).revisions[0]?.trouble ?? ''
    await until('the trouble is told', async () => (await trouble()) !== '')
    const startsBefore = g.log.filter((l) => l.includes('a pod failed')).length
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    expect(g.log.filter((l) => l.includes('a pod failed')).length - startsBefore).toBeLessThanOrEqual(4)
  })

  test.concurrent('kpa in the loop: a pod to begin with, more under load, never below what it may', async ({
    onTestFinished,
  }) => {
    const g = await start(
      onTestFinished,
      { DELAY_MS: '300' },
      {
        'autoscaling.knative.dev/class': 'kpa.autoscaling.knative.dev',
        'autoscaling.knative.dev/minScale': '1',
        'autoscaling.knative.dev/maxScale': '6',
        'autoscaling.knative.dev/window': '6s',
      },
    )
    await until('a pod is ready', async () => (await pods(g)).some((p) => p.phase === 'ready'))
    let most = 0
    const reasons = new Set<string>()
    let looking = true
    const look = (async () => {
      while (looking) {
        const [revision] = (await g.api<View>('/api/v1/services/default/worker')).revisions
        reasons.add(revision?.reason ?? '')
        most = Math.max(most, alive(revision?.observation.pods ?? []))
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    })()
    const statuses = await wave(g, 5_000, 40)
    looking = false
    await look
    expect(new Set(statuses)).toEqual(new Set([200]))
    // 25 a second of 300 ms are 7.5 at once; a pod does 2.8 of its four: three.
    expect([...reasons].filter((reason) => reason.includes('window'))).not.toEqual([])
    expect(most).toBeGreaterThanOrEqual(2)
    expect(most).toBeLessThanOrEqual(6)
  })
})
