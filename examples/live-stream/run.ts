import { join } from 'node:path'
import { bar, look, startScene, type Moment, type Scene } from '../scene.ts'
import { createGenerator } from '../generator.ts'

const once = process.argv.includes('--once')
if (process.argv.includes('--help')) {
  console.log(
    'npm start [-- --once]\n\nA wave of comments on a live stream, about 450 a second, moderated by a service that takes 200 ms.\n--once: one short wave, then the account; exit 1 if an event was lost or a pod was over its limit.',
  )
  process.exit(0)
}

/** Comments a second at rest, in the wave, and how long each part of the scene lasts. */
const WAVE_PER_S = 450
const REST_S = once ? 2 : 10
const WAVE_S = once ? 15 : 60
const GC_TIME_S = once ? '5' : '30'
const LIMIT = 10
/** The demo gives up waiting for what was acknowledged after this long. */
const PATIENCE_MS = 30_000

const scene = await startScene(
  join(import.meta.dirname, 'live-stream.yaml'),
  (m) => {
    const annotations = m.spec?.template?.metadata?.annotations
    if (annotations !== undefined) annotations['autoscaling.knative.dev/gc-time'] = GC_TIME_S
  },
  (line) => {
    if (/"level":"(warn|error)"/.test(line)) console.error(line)
  },
)
const generator = createGenerator(`${scene.listen}/default/default`, 'com.example.livestream.comment')
const seen = { mostPods: 0, startMs: performance.now(), lastDelivered: 0, lastMs: performance.now() }

process.once('SIGINT', () => {
  void end(scene).then((ok) => process.exit(ok ? 0 : 1))
})

console.log('phase   pods  wanted  in flight                        queued  delivered/s   p50      p99')
for (;;) {
  await phase('rest', 0, REST_S)
  await phase('wave', WAVE_PER_S, WAVE_S)
  await phase('rest', 0, once ? Number(GC_TIME_S) + 22 : 60)
  if (once) process.exit((await end(scene)) ? 0 : 1)
}

async function phase(name: string, perS: number, seconds: number): Promise<void> {
  generator.rate(perS)
  const endMs = performance.now() + seconds * 1000
  while (performance.now() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, 500))
    show(name, await look(scene.admin))
  }
}

function show(name: string, m: Moment): void {
  const nowMs = performance.now()
  const perS = ((m.delivered - seen.lastDelivered) / (nowMs - seen.lastMs)) * 1000
  seen.lastDelivered = m.delivered
  seen.lastMs = nowMs
  seen.mostPods = Math.max(seen.mostPods, m.pods)
  const latency = generator.latency()
  const line = `${name.padEnd(6)} ${String(m.pods).padStart(5)} ${String(m.wanted).padStart(7)}  ${String(m.inFlight).padStart(4)} ${bar(m.inFlight, 130, 26)} ${String(m.queued).padStart(7)} ${perS.toFixed(0).padStart(12)} ${latency.p50.toFixed(1).padStart(6)} ms ${latency.p99.toFixed(1).padStart(6)} ms`
  console.log(line)
}

/** Waits for the last events, prints the account, stops everything. */
async function end(running: Scene): Promise<boolean> {
  generator.rate(0)
  const acknowledged = await generator.settled()
  const deadlineMs = performance.now() + PATIENCE_MS
  const missing = (): number => {
    const { delivered } = running.account()
    return [...acknowledged].filter((id) => !delivered.has(id)).length
  }
  while (missing() > 0 && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, 200))
  const account = running.account()
  const lost = missing()
  const duplicates = [...account.delivered.values()].reduce((sum, times) => sum + times - 1, 0)
  await running.stop()
  console.log(
    [
      '',
      `acknowledged                ${acknowledged.size}`,
      `delivered                   ${account.delivered.size}`,
      `duplicates                  ${duplicates}`,
      `lost                        ${lost}`,
      `most pods                   ${seen.mostPods}`,
      `most in flight on one pod   ${account.mostInFlightOnOnePod} (limit ${LIMIT})`,
    ].join('\n'),
  )
  return lost === 0 && account.overLimit === 0 && account.mostInFlightOnOnePod <= LIMIT
}
