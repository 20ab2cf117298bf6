import { bar, look, startScene, type Manifest, type Moment, type Scene } from './scene.ts'
import type { Generator } from './generator.ts'

/** A wave of events on a slow service: what both demos show. */
export interface Wave {
  readonly manifestFile: string
  readonly change: (m: Manifest) => void
  readonly generator: (scene: Scene) => Generator | Promise<Generator>
  /** One short wave, then the account. */
  readonly once: boolean
  /** Events a second in the wave; 450 unless said. */
  readonly perS?: number
  /** Called last, whatever happened. */
  readonly close?: () => Promise<void>
}

/** Events a second in the wave. */
const WAVE_PER_S = 450
const LIMIT = 10
/** The demo gives up waiting for what was acknowledged after this long. */
const PATIENCE_MS = 30_000
/** The arrival rate that pods are kept for is measured over this window. */
const RATE_WINDOW_S = 20

/** Runs waves until Ctrl-C, or one with `once`; resolves with whether nothing was lost and no pod was over its limit. */
export async function runWave(wave: Wave): Promise<boolean> {
  const gcTimeS = wave.once ? 5 : 30
  const scene = await startScene(
    wave.manifestFile,
    (m) => {
      const annotations = m.spec?.template?.metadata?.annotations
      if (annotations !== undefined) annotations['autoscaling.knative.dev/gc-time'] = String(gcTimeS)
      wave.change(m)
    },
    (line) => {
      if (/"level":"(warn|error)"/.test(line)) console.error(line)
    },
  )
  const generator = await wave.generator(scene)
  let stopping = false
  process.once('SIGINT', () => (stopping = true))
  const view = createView(generator)
  const phase = async (name: string, perS: number, seconds: number): Promise<void> => {
    generator.rate(perS)
    const endMs = performance.now() + seconds * 1000
    while (performance.now() < endMs && !stopping) {
      await new Promise((resolve) => setTimeout(resolve, 500))
      view.show(name, await look(scene.admin))
    }
  }
  console.log('phase   pods  wanted  in flight                        queued  delivered/s  ingest p50      p99')
  do {
    await phase('rest', 0, wave.once ? 2 : 10)
    await phase('wave', wave.perS ?? WAVE_PER_S, wave.once ? 15 : 60)
    await phase('rest', 0, gcTimeS + RATE_WINDOW_S + 2)
  } while (!wave.once && !stopping)
  const good = await settle(scene, generator, view.mostPods())
  await wave.close?.()
  return good
}

function createView(generator: Generator): { show(name: string, m: Moment): void; mostPods(): number } {
  let mostPods = 0
  let lastDelivered = 0
  let lastMs = performance.now()
  return {
    mostPods: () => mostPods,
    show(name, m) {
      const nowMs = performance.now()
      const perS = ((m.delivered - lastDelivered) / (nowMs - lastMs)) * 1000
      lastDelivered = m.delivered
      lastMs = nowMs
      mostPods = Math.max(mostPods, m.pods)
      const { p50, p99 } = generator.latency()
      const cells = [
        name.padEnd(6),
        String(m.pods).padStart(5),
        String(m.wanted).padStart(7),
        ` ${String(m.inFlight).padStart(4)} ${bar(m.inFlight, 130, 26)}`,
        String(m.queued).padStart(7),
        perS.toFixed(0).padStart(12),
        `${p50.toFixed(1)} ms`.padStart(11),
        `${p99.toFixed(1)} ms`.padStart(8),
      ]
      console.log(cells.join(' '))
    },
  }
}

/** Waits for the last events, stops everything, prints the account. */
async function settle(scene: Scene, generator: Generator, mostPods: number): Promise<boolean> {
  generator.rate(0)
  const acknowledged = await generator.settled()
  const deadlineMs = performance.now() + PATIENCE_MS
  const missing = (): number => {
    const { delivered } = scene.account()
    return [...acknowledged].filter((id) => !delivered.has(id)).length
  }
  while (missing() > 0 && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, 200))
  const account = scene.account()
  const lost = missing()
  const duplicates = [...account.delivered.values()].reduce((sum, times) => sum + times - 1, 0)
  await scene.stop()
  console.log(
    [
      '',
      `acknowledged                ${acknowledged.size}`,
      `delivered                   ${account.delivered.size}`,
      `duplicates                  ${duplicates}`,
      `lost                        ${lost}`,
      `most pods                   ${mostPods}`,
      `most in flight on one pod   ${account.mostInFlightOnOnePod} (limit ${LIMIT})`,
    ].join('\n'),
  )
  return acknowledged.size > 0 && lost === 0 && account.overLimit === 0 && account.mostInFlightOnOnePod <= LIMIT
}
