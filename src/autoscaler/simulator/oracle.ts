import type { Decider, Decision } from '../../contract/decider.ts'
import type { Scene } from './scene.ts'
import type { Setup } from './policy.ts'

const TICK_MS = 1_000
/** Starts are longer than their mean as often as not. */
const START_SLACK = 1.5

/** Pods needed in each second if nobody ever waits: what runs at once, by slots of a pod, at its most within the second. */
function needed(scene: Scene, drainTargetMs: number): Float64Array {
  const seconds = Math.ceil(scene.endMs / 1000) + 2
  const need = new Float64Array(seconds)
  const ends = Float64Array.from(scene.arrivalsMs, (at, i) => at + scene.serviceMs[i]!).sort()
  let running = 0
  let ended = 0
  for (const at of scene.arrivalsMs) {
    while (ended < ends.length && ends[ended]! <= at) {
      running--
      ended++
    }
    running++
    const second = Math.min(seconds - 1, Math.floor(at / 1000))
    if (running > need[second]!) need[second] = running
  }
  // A second in which nobody came still has those that run on.
  for (let second = 0, e = 0, a = 0; second < seconds; second++) {
    while (e < ends.length && ends[e]! <= second * 1000) e++
    while (a < scene.arrivalsMs.length && scene.arrivalsMs[a]! <= second * 1000) a++
    need[second] = Math.max(need[second]!, a - e)
  }
  for (const batch of scene.stored) {
    const slots = (batch.events * scene.storedServiceMs) / drainTargetMs
    const from = Math.floor(batch.atMs / 1000)
    for (let s = from; s < Math.min(seconds, from + drainTargetMs / 1000 + 1); s++) need[s]! += slots
  }
  for (let s = 0; s < seconds; s++) need[s] = Math.ceil(need[s]! / scene.limit)
  return need
}

/** Knows the future and how long a start takes: the floor of pods at (nearly) no waiting. */
export function oracle(scene: Scene, setup: Setup): Decider<null> {
  const need = needed(scene, 30_000)
  const aheadS = Math.ceil((setup.coldStartMs * START_SLACK) / 1000) + 1
  return {
    init: () => null,
    decide(spec, _state, seen, nowMs) {
      const now = Math.floor(nowMs / 1000)
      let desired = spec.minScale
      for (let s = now; s <= Math.min(need.length - 1, now + aheadS); s++) desired = Math.max(desired, need[s]!)
      const size = seen.pods.filter((p) => p.phase !== 'draining').length
      const idle = seen.pods.filter((p) => p.phase === 'ready' && p.inFlight === 0).reverse()
      const remove = idle.slice(0, Math.max(0, size - desired)).map((p) => p.name)
      return {
        desired: Math.max(desired, size - remove.length),
        remove,
        wakeAtMs: nowMs + TICK_MS,
        valid: true,
        reason: { text: `${desired} will be needed within ${aheadS} s`, terms: { desired } },
        next: null,
      } satisfies Decision<null>
    },
  }
}
