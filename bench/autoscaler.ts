import { kpa } from '../src/autoscaler/kpa.ts'
import { POLICIES } from '../src/autoscaler/simulator/policies.ts'
import { specFor } from '../src/autoscaler/simulator/policy.ts'
import { simulate } from '../src/autoscaler/simulator/run.ts'
import { syntheticScene } from '../src/autoscaler/simulator/scenes.ts'
import { createWindows } from '../src/autoscaler/windows.ts'
import { xpa } from '../src/autoscaler/xpa.ts'
import type { Decider, Observation, PodSeen } from '../src/contract/decider.ts'
import type { Figure, Scenario } from './figures.ts'

const scene = syntheticScene('small', 1)!
const spec = { ...specFor({ ...scene, limit: 10 }, { coldStartMs: 2_000, minScale: 1, seed: 1 }) }

function observation(pods: number, busy: number, atMs: number, arrivals: number): Observation {
  const list: PodSeen[] = Array.from({ length: pods }, (_, i) => ({
    name: `pod-${i}`,
    phase: 'ready',
    inFlight: i < busy ? 10 : 0,
    sinceMs: i,
    idleSinceMs: i < busy ? null : atMs,
  }))
  const inFlight = busy * 10
  return {
    ...{ inFlight, queued: 3, backlog: 0, arrivals, arrivalsPerS: 10, serviceMs: 200, coldStartMs: 2_000 },
    ...{ stable: inFlight, panic: inFlight, pods: list },
  }
}

/** Mean processor time of one decision, µs, over many of them with a state that goes on. */
function perDecision<S>(decider: Decider<S>, pods: number, busy: number, count: number): number {
  let state = decider.init(spec, 0)
  const seen = observation(pods, busy, 0, 0)
  const round = (n: number): void => {
    for (let i = 0; i < n; i++) {
      nowMs += 100
      state = decider.decide(spec, state, { ...seen, arrivals: nowMs * 4 }, nowMs).next
    }
  }
  let nowMs = 0
  round(count / 10)
  // Processor time: what else runs on the machine is not the decider's.
  const before = process.cpuUsage()
  round(count)
  const used = process.cpuUsage(before)
  return (used.user + used.system) / count
}

/** A thousand services of ten pods, each with its windows fed once a second and decided for twice: share of one core, %. */
function manyServices(seconds: number): number {
  const services = Array.from({ length: 1_000 }, () => ({ state: xpa.init(spec, 0), windows: createWindows(spec) }))
  const seen = observation(10, 6, 0, 0)
  const beginMs = performance.now()
  for (let s = 1; s <= seconds; s++) {
    for (const service of services) {
      service.windows.record(s * 1_000, 60, 300)
      for (const half of [0, 500]) {
        const nowMs = s * 1_000 + half
        const average = service.windows.average(nowMs)
        service.state = xpa.decide(spec, service.state, { ...seen, ...average, arrivals: nowMs * 0.3 }, nowMs).next
      }
    }
  }
  return (performance.now() - beginMs) / (seconds * 10)
}

export const autoscaler: Scenario = {
  name: 'autoscaler',
  about: 'deciders by themselves, and an hour of load on the virtual clock',
  run(count) {
    const decisions = count > 0 ? count : 20_000
    const figures: Figure[] = [
      {
        name: 'kpa, one decision, 10 pods',
        value: perDecision(kpa, 10, 6, decisions),
        unit: 'µs',
        target: { is: '<=', bound: 20 },
      },
      {
        name: 'xpa, one decision, 1,000 pods, all needed',
        value: perDecision(xpa, 1_000, 1_000, decisions),
        unit: 'µs',
        target: { is: '<=', bound: 50 },
      },
      {
        name: 'xpa, one decision, 1,000 pods, 900 of them spare',
        value: perDecision(xpa, 1_000, 100, decisions / 10),
        unit: 'µs',
      },
      { name: '1,000 services, twice a second', value: manyServices(20), unit: '% of a core', target: { is: '<=', bound: 15 } },
    ]
    const ramp = syntheticScene('ramp', 1)!
    const beginMs = performance.now()
    simulate(ramp, POLICIES['xpa']!, { coldStartMs: 8_000, minScale: 1, seed: 1 })
    figures.push({ name: 'simulated 40 minutes, 126,000 requests', value: performance.now() - beginMs, unit: 'ms' })
    return Promise.resolve(figures)
  },
}
