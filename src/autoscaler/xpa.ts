import type { Decider, Decision, Observation, ScaleSpec } from '../contract/decider.ts'
import { demandOf, sane, type Stored } from './demand.ts'
import { look, startFlow, type Flow } from './flow-rate.ts'
import { recordMax, type MaxWindow } from './max-window.ts'
import { census, removals } from './removals.ts'

/** While something flows the estimate is looked at so often. */
const LOOK_MS = 500
const IDLE_LOOK_MS = 1_000

export interface XpaState {
  readonly flow: Flow
  /** Pods the estimate wanted, second by second, over the last gc-time. */
  readonly kept: MaxWindow
  /** Since when fewer pods than there are have been wanted, counting starting ones; null = not. */
  readonly unneededSinceMs: number | null
  /** Since when stored work has waited; null = none does. */
  readonly stored: Stored | null
  /** The last good decision, held where an observation cannot be read. */
  readonly desired: number
}

/**
 * Scaling from exact state, in credits (DESIGN §9, reference §9):
 *
 *   demand  = max(in flight, keep) + queued + stored
 *   keep    = what flows (arrival rate × service time, a rising trend one start ahead) + a margin so that few find no slot
 *   queued  = requests waiting, left out where the ready slots work them off before a new pod could help
 *   stored  = min(W, ⌈W·S/T⌉)      W events waiting, S service time, T drain target
 *   desired = max(busy pods, clamp(⌈demand ÷ limit⌉ + buffer, min, max))
 *
 * Down: pods idle for gc-time, the newest first, by name; pods above everything lately needed go sooner; a busy pod is never named.
 */
export const xpa: Decider<XpaState> = {
  init: (spec, nowMs) => ({
    flow: startFlow(nowMs),
    kept: [],
    unneededSinceMs: null,
    stored: null,
    desired: spec.minScale,
  }),
  decide(spec, state, seen, nowMs) {
    const pods = census(seen.pods)
    if (!sane(seen) || nowMs < state.flow.atMs) return hold(state, pods.capacity, nowMs)
    const limit = Math.max(1, spec.limit)
    const flow = look(state.flow, seen, limit, nowMs)
    const stored = seen.backlog > 0 ? (state.stored ?? { atMs: nowMs, inFlight: seen.inFlight }) : null
    const demand = demandOf(spec, flow, seen, pods.ready * limit, stored, nowMs)
    const highest = spec.maxScale > 0 ? spec.maxScale : Infinity
    const wanted = Math.min(highest, Math.max(spec.minScale, Math.ceil(demand.slots / limit) + spec.podBufferSize))
    const desired = Math.max(pods.busy, wanted)
    const kept = recordMax(
      state.kept,
      Math.max(1, spec.gcTimeMs / 1000),
      Math.floor(nowMs / 1000),
      Math.ceil(demand.keep / limit),
    )
    // While requests wait, a pod that starts will help them, however many are wanted in the end.
    const unneeded = pods.capacity > desired && seen.queued === 0
    const unneededSinceMs = unneeded ? (state.unneededSinceMs ?? nowMs) : null
    const recently = spec.without.includes('keep-alive') ? Infinity : Math.max(kept.max + spec.podBufferSize, spec.minScale)
    const spare = pods.capacity - desired
    const { remove, wakeAtMs } = removals(seen.pods, { spec, spare, capacity: pods.capacity, recently, unneededSinceMs, nowMs })
    const size = Math.max(desired, pods.capacity - remove.length)
    const quiet = seen.inFlight + seen.queued + seen.backlog === 0 && demand.keep === 0
    return {
      desired: size,
      remove,
      wakeAtMs: Math.min(wakeAtMs, nowMs + (quiet ? IDLE_LOOK_MS : LOOK_MS)),
      valid: true,
      reason: {
        text: wordsOf(spec, seen, { size, desired, busy: pods.busy, text: demand.text, starting: pods.starting }),
        terms: {
          ...demand.terms,
          demand: demand.slots,
          busy: pods.busy,
          limit,
          buffer: spec.podBufferSize,
          recently: kept.max,
          desired: size,
        },
      },
      next: { flow, kept: kept.window, unneededSinceMs, stored, desired: size },
    } satisfies Decision<XpaState>
  },
}

/** What cannot be read never moves the scale. */
function hold(state: XpaState, capacity: number, nowMs: number): Decision<XpaState> {
  return {
    desired: capacity,
    remove: [],
    wakeAtMs: nowMs + IDLE_LOOK_MS,
    valid: false,
    reason: { text: `${capacity}: the observation is not sound; nothing changes`, terms: { desired: capacity } },
    next: state,
  }
}

interface Words {
  readonly size: number
  readonly desired: number
  readonly busy: number
  readonly starting: number
  readonly text: string
}

function wordsOf(spec: ScaleSpec, seen: Observation, w: Words): string {
  const clamp = `clamp(⌈${w.text} / ${Math.max(1, spec.limit)}⌉ + ${spec.podBufferSize}, ${spec.minScale}, ${spec.maxScale || '∞'})`
  const kept =
    w.size === w.desired
      ? ''
      : w.starting > 0 && seen.inFlight === 0
        ? `; kept at ${w.size}: starting pods are given up only after 10 s`
        : `; kept at ${w.size}: not idle for ${spec.gcTimeMs / 1000} s yet`
  return `${w.desired} = max(${w.busy} busy, ${clamp})${kept}`
}
