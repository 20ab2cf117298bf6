import { POLICIES } from './policies.ts'
import { simulate, type RunResult } from './run.ts'
import type { Scene, SceneGroup } from './scene.ts'

/** Cells: every scene with each of these starts and least scales. */
export const COLD_STARTS_MS = [2_000, 8_000, 25_000]
export const MIN_SCALES = [0, 1]

/** One scene with one start and one least scale under both policies. */
export interface Cell {
  readonly scene: string
  readonly group: SceneGroup
  readonly coldStartMs: number
  readonly minScale: number
  readonly ours: Numbers
  readonly theirs: Numbers
}

export interface Numbers {
  readonly requests: number
  readonly waited: number
  /** Share of the requests that waited, per cent. */
  readonly waitedPercent: number
  readonly p99Ms: number
  readonly podS: number
  readonly busyStopped: number
  readonly overLimit: number
  readonly lost: number
  readonly drainedS: readonly number[]
}

export function numbersOf(run: RunResult): Numbers {
  const { tally } = run
  return {
    requests: tally.requests,
    waited: tally.waited,
    waitedPercent: tally.requests === 0 ? 0 : (100 * tally.waited) / tally.requests,
    p99Ms: tally.percentile(0.99),
    podS: tally.podMs / 1000,
    busyStopped: tally.busyStopped,
    overLimit: tally.overLimit,
    lost: tally.lost,
    drainedS: run.drainedMs.map((ms) => ms / 1000),
  }
}

/** Plays a scene in all its cells. */
export function cellsOf(scene: Scene, seed: number, ours = POLICIES['xpa']!, theirs = POLICIES['kpa']!): Cell[] {
  return COLD_STARTS_MS.flatMap((coldStartMs) =>
    MIN_SCALES.map((minScale) => {
      const setup = { coldStartMs, minScale, seed }
      return {
        scene: scene.name,
        group: scene.group,
        coldStartMs,
        minScale,
        ours: numbersOf(simulate(scene, ours, setup)),
        theirs: numbersOf(simulate(scene, theirs, setup)),
      }
    }),
  )
}

/** Ratios to the other policy over some cells; below 1 is better. */
export interface Ratios {
  readonly waited: number
  readonly waitedByRequest: number
  readonly p99: number
  readonly podS: number
  readonly podSum: number
}

// So little waiting is none, whatever it is divided by.
const LEAST_PERCENT = 0.01
const LEAST_MS = 1

export function ratiosOf(cells: readonly Cell[]): Ratios {
  const sum = (f: (c: Cell) => number): number => cells.reduce((s, c) => s + f(c), 0)
  const mean = (f: (c: Cell) => number): number => Math.exp(sum((c) => Math.log(f(c))) / Math.max(1, cells.length))
  return {
    waited: mean((c) => (c.ours.waitedPercent + LEAST_PERCENT) / (c.theirs.waitedPercent + LEAST_PERCENT)),
    waitedByRequest:
      sum((c) => c.ours.waited) /
      Math.max(
        1,
        sum((c) => c.theirs.waited),
      ),
    p99: mean((c) => (c.ours.p99Ms + LEAST_MS) / (c.theirs.p99Ms + LEAST_MS)),
    podS: mean((c) => Math.max(1, c.ours.podS) / Math.max(1, c.theirs.podS)),
    podSum:
      sum((c) => c.ours.podS) /
      Math.max(
        1,
        sum((c) => c.theirs.podS),
      ),
  }
}

export interface Verdict {
  readonly passed: boolean
  readonly lines: readonly string[]
}

interface Target {
  readonly group: SceneGroup
  readonly what: string
  readonly most: number
  readonly value: (r: Ratios) => number
}

/** What must be reached against KPA with its defaults. */
const TARGETS: readonly Target[] = [
  { group: 'flowing', what: 'waited, mean of the cells', most: 0.5, value: (r) => r.waited },
  { group: 'flowing', what: 'waited, by request', most: 0.5, value: (r) => r.waitedByRequest },
  { group: 'flowing', what: 'p99 wait', most: 0.6, value: (r) => r.p99 },
  { group: 'flowing', what: 'pod-seconds', most: 0.95, value: (r) => r.podS },
  { group: 'on-off', what: 'waited, mean of the cells', most: 0.1, value: (r) => r.waited },
  { group: 'on-off', what: 'waited, by request', most: 0.1, value: (r) => r.waitedByRequest },
  { group: 'jump', what: 'pod-seconds', most: 0.75, value: (r) => r.podS },
  { group: 'jump', what: 'p99 wait', most: 0.75, value: (r) => r.p99 },
  { group: 'jump', what: 'waited, mean of the cells', most: 1, value: (r) => r.waited },
]
const DRAIN_TARGET_S = 30

/** Why a cell is not won, '' = it is. */
export function notWon(c: Cell): string {
  const { ours, theirs } = c
  const lost: string[] = []
  if (ours.waitedPercent > 1.1 * theirs.waitedPercent + 0.1)
    lost.push(`waited ${ours.waitedPercent.toFixed(2)} % against ${theirs.waitedPercent.toFixed(2)} %`)
  if (ours.p99Ms > 1.1 * theirs.p99Ms + 10) lost.push(`p99 ${ours.p99Ms.toFixed(0)} ms against ${theirs.p99Ms.toFixed(0)} ms`)
  const pods = ours.podS / Math.max(1, theirs.podS)
  const halved = ours.waitedPercent <= theirs.waitedPercent / 2
  if (pods > (halved ? 1.4 : 1.1)) lost.push(`${pods.toFixed(2)} × the pod-seconds`)
  if (c.group === 'stored') {
    const longest = Math.max(...ours.drainedS)
    // How a batch is drained is judged by its time, not against a policy that does not see it.
    const late = longest > 2 * DRAIN_TARGET_S
    return late ? `drained in ${longest.toFixed(0)} s, ${2 * DRAIN_TARGET_S} s were promised` : ''
  }
  return lost.join(', ')
}

/** Everything that must hold, and what of it does. Scenes of the group `beyond` are shown, not judged. */
export function verdictOf(cells: readonly Cell[]): Verdict {
  const lines: string[] = []
  let passed = true
  const put = (good: boolean, text: string): void => {
    passed &&= good
    lines.push(`${good ? 'reached' : 'MISSED '}  ${text}`)
  }
  for (const t of TARGETS) {
    const group = cells.filter((c) => c.group === t.group)
    if (group.length === 0) continue
    const value = t.value(ratiosOf(group))
    put(value <= t.most, `${t.group}: ${t.what} ${value.toFixed(2)} (at most ${t.most})`)
  }
  const judged = cells.filter((c) => c.group !== 'beyond')
  const weak = judged.filter((c) => notWon(c) !== '')
  put(weak.length === 0, `cells within their bounds: ${judged.length - weak.length} of ${judged.length}`)
  const busy = cells.reduce((s, c) => s + c.ours.busyStopped, 0)
  const over = cells.reduce((s, c) => s + c.ours.overLimit, 0)
  put(busy === 0, `busy pods stopped: ${busy} (kpa: ${cells.reduce((s, c) => s + c.theirs.busyStopped, 0)})`)
  put(over === 0, `pods over their limit: ${over}`)
  return { passed, lines }
}
