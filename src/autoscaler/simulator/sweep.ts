import type { Policy, Setup } from './policy.ts'
import { POLICIES } from './policies.ts'
import { simulate } from './run.ts'
import type { Scene } from './scene.ts'

/** One point of the curve: what a setting costs and what it spares. */
export interface SweepPoint {
  readonly policy: string
  readonly setting: string
  readonly podS: number
  readonly waitedPercent: number
  readonly p99Ms: number
}

interface Knob {
  readonly policy: string
  readonly setting: string
  readonly change: Pick<Setup, 'change' | 'changeKpa'>
}

/** The knobs of both: KPA's target and window, ours gc-time, buffer and each term left out. */
function knobs(scene: Scene): Knob[] {
  const kpa = [40, 50, 60, 70, 80, 90].flatMap((percent) =>
    [15, 30, 60].map((windowS) => ({
      policy: 'kpa',
      setting: `target ${percent} %, window ${windowS} s`,
      change: { changeKpa: { targetValue: (scene.limit * percent) / 100, stableWindowMs: windowS * 1000 } },
    })),
  )
  const gc = [15, 30, 60, 120].map((s) => ({
    policy: 'xpa',
    setting: `gc-time ${s} s`,
    change: { change: { gcTimeMs: s * 1000 } },
  }))
  const buffer = [1, 2].map((n) => ({ policy: 'xpa', setting: `buffer ${n}`, change: { change: { podBufferSize: n } } }))
  const target = [1000, 100, 10].map((ms) => ({
    policy: 'xpa',
    setting: `wait-target ${ms} ms`,
    change: { change: { waitTargetMs: ms } },
  }))
  const without = ['trend', 'staffing', 'cold-start', 'keep-alive'].map((term) => ({
    policy: 'xpa',
    setting: `without ${term}`,
    change: { change: { without: [term] } },
  }))
  return [...kpa, ...gc, ...buffer, ...target, ...without]
}

export function sweep(scene: Scene, setup: Setup): SweepPoint[] {
  return knobs(scene).map((knob) => {
    const policy: Policy = POLICIES[knob.policy]!
    const { tally } = simulate(scene, policy, { ...setup, ...knob.change })
    return {
      policy: knob.policy,
      setting: knob.setting,
      podS: tally.podMs / 1000,
      waitedPercent: (100 * tally.waited) / Math.max(1, tally.requests),
      p99Ms: tally.percentile(0.99),
    }
  })
}

const WIDTH = 720
const HEIGHT = 480
const EDGE = 60

/** Pod-seconds against waited, a dot a setting: left and low is better. */
export function sweepSvg(title: string, points: readonly SweepPoint[]): string {
  const mostPods = Math.max(1, ...points.map((p) => p.podS))
  const mostWaited = Math.max(0.01, ...points.map((p) => p.waitedPercent))
  const x = (v: number): string => (EDGE + (v / mostPods) * (WIDTH - 2 * EDGE)).toFixed(1)
  const y = (v: number): string => (HEIGHT - EDGE - (v / mostWaited) * (HEIGHT - 2 * EDGE)).toFixed(1)
  const dots = points.map((p) => {
    const colour = p.policy === 'xpa' ? '#1f6feb' : '#d9822b'
    return `<circle cx="${x(p.podS)}" cy="${y(p.waitedPercent)}" r="4" fill="${colour}"><title>${p.policy}: ${p.setting}</title></circle>`
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${EDGE}" y="24" font-size="15">${title}</text>`,
    `<line x1="${EDGE}" y1="${HEIGHT - EDGE}" x2="${WIDTH - EDGE}" y2="${HEIGHT - EDGE}" stroke="#999999"/>`,
    `<line x1="${EDGE}" y1="${EDGE}" x2="${EDGE}" y2="${HEIGHT - EDGE}" stroke="#999999"/>`,
    `<text x="${WIDTH - EDGE}" y="${HEIGHT - EDGE + 20}" text-anchor="end">pod-seconds, to ${mostPods.toFixed(0)}</text>`,
    `<text x="${EDGE}" y="${EDGE - 8}">waited, to ${mostWaited.toFixed(2)} %</text>`,
    `<text x="${WIDTH - EDGE}" y="24" text-anchor="end"><tspan fill="#1f6feb">xpa</tspan> · <tspan fill="#d9822b">kpa</tspan></text>`,
    ...dots,
    '</svg>',
    '',
  ].join('\n')
}
