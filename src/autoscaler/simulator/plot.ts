import type { RunResult } from './run.ts'

const WIDTH = 960
const PANEL_HEIGHT = 150
const LEFT = 56
const RIGHT = 16
const TOP = 40
const GAP = 34
const POINTS = 480

/** Demand (in pods) against pods of each run, one panel below the other, as SVG text. Each point is the most of its stretch. */
export function plotSvg(title: string, limit: number, runs: readonly RunResult[]): string {
  const height = TOP + runs.length * (PANEL_HEIGHT + GAP)
  const panels = runs.map((run, i) => panel(run, limit, TOP + i * (PANEL_HEIGHT + GAP)))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="20" font-size="15">${escape(title)}</text>`,
    `<text x="${WIDTH - RIGHT}" y="20" text-anchor="end"><tspan fill="#1f6feb">pods</tspan> · <tspan fill="#d9822b">demand in pods</tspan></text>`,
    ...panels,
    '</svg>',
    '',
  ].join('\n')
}

function panel(run: RunResult, limit: number, top: number): string {
  const demand = thin(run.demand.map((d) => d / limit))
  const pods = thin(run.pods)
  const most = Math.max(1, ...pods, ...demand)
  const bottom = top + PANEL_HEIGHT
  const y = (v: number): string => (bottom - (v / most) * PANEL_HEIGHT).toFixed(1)
  const x = (i: number): string => (LEFT + (i / Math.max(1, pods.length - 1)) * (WIDTH - LEFT - RIGHT)).toFixed(1)
  const line = (values: readonly number[]): string => values.map((v, i) => `${x(i)},${y(v)}`).join(' ')
  const minutes = Math.round(run.endMs / 60_000)
  return [
    `<line x1="${LEFT}" y1="${bottom}" x2="${WIDTH - RIGHT}" y2="${bottom}" stroke="#999999"/>`,
    `<text x="${LEFT - 6}" y="${top + 10}" text-anchor="end">${Math.ceil(most)}</text>`,
    `<text x="${LEFT - 6}" y="${bottom}" text-anchor="end">0</text>`,
    `<text x="${WIDTH - RIGHT}" y="${bottom + 14}" text-anchor="end" fill="#666666">${minutes} min</text>`,
    `<text x="${LEFT}" y="${bottom + 14}">${escape(run.policy)}: ${Math.round(run.tally.podMs / 1000)} pod-seconds, ${run.tally.waited} waited</text>`,
    `<polyline fill="none" stroke="#d9822b" stroke-width="1" points="${line(demand)}"/>`,
    `<polyline fill="none" stroke="#1f6feb" stroke-width="1.5" points="${line(pods)}"/>`,
  ].join('\n')
}

/** The most of each stretch, so that no peak is lost. */
function thin(values: readonly number[]): number[] {
  if (values.length <= POINTS) return [...values]
  const out: number[] = []
  for (let p = 0; p < POINTS; p++) {
    const from = Math.floor((p * values.length) / POINTS)
    const to = Math.max(from + 1, Math.floor(((p + 1) * values.length) / POINTS))
    let most = 0
    for (let i = from; i < to; i++) most = Math.max(most, values[i]!)
    out.push(most)
  }
  return out
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
