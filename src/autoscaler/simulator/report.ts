import { notWon, ratiosOf, type Cell } from './check.ts'
import type { RunResult } from './run.ts'

/** One row a run: what waited, how long, and what it cost. */
export function runTable(runs: readonly RunResult[]): string {
  const head = [
    ...['policy', 'requests', 'waited', '%', 'p50 ms', 'p95 ms', 'p99 ms', 'queue s', 'pod-s', 'idle pod-s'],
    ...['most pods', 'ups/h', 'busy stopped', 'lost', 'drained s'],
  ]
  const rows = runs.map((r) => {
    const t = r.tally
    return [
      r.policy,
      String(t.requests),
      String(t.waited),
      ((100 * t.waited) / Math.max(1, t.requests)).toFixed(2),
      ...[0.5, 0.95, 0.99].map((q) => t.percentile(q).toFixed(0)),
      (t.queueMs / 1000).toFixed(0),
      (t.podMs / 1000).toFixed(0),
      (t.idlePodMs / 1000).toFixed(0),
      String(t.mostPods),
      (t.scaleUps / (r.endMs / 3_600_000)).toFixed(1),
      String(t.busyStopped),
      String(t.lost),
      r.drainedMs.map((ms) => (ms === Infinity ? 'never' : (ms / 1000).toFixed(0))).join(' ') || '-',
    ]
  })
  return columns([head, ...rows])
}

/** The runs as data: everything of the table, by name. */
export function runData(r: RunResult): Readonly<Record<string, unknown>> {
  const t = r.tally
  return {
    policy: r.policy,
    scene: r.scene,
    requests: t.requests,
    waited: t.waited,
    waitP50Ms: t.percentile(0.5),
    waitP95Ms: t.percentile(0.95),
    waitP99Ms: t.percentile(0.99),
    queueS: t.queueMs / 1000,
    podS: t.podMs / 1000,
    idlePodS: t.idlePodMs / 1000,
    mostPods: t.mostPods,
    scaleUpsPerHour: t.scaleUps / (r.endMs / 3_600_000),
    busyStopped: t.busyStopped,
    overLimit: t.overLimit,
    lost: t.lost,
    drainedS: r.drainedMs.map((ms) => (ms === Infinity ? null : ms / 1000)),
    decisions: r.decisions,
  }
}

/** One row a scene, as Markdown: ratios to the other policy over the scene's cells, and the cells that are not won. */
export function checkTable(cells: readonly Cell[]): string {
  const scenes = [...new Set(cells.map((c) => c.scene))]
  const head = ['scene', 'kind', 'waited %', 'waited ×', 'p99 ×', 'pod-seconds ×', 'busy stopped', 'cells not won']
  const rows = scenes.map((scene) => {
    const own = cells.filter((c) => c.scene === scene)
    const r = ratiosOf(own)
    const group = own[0]?.group ?? 'beyond'
    const share = (f: (c: Cell) => { requests: number; waited: number }): string => {
      const requests = own.reduce((s, c) => s + f(c).requests, 0)
      return ((100 * own.reduce((s, c) => s + f(c).waited, 0)) / Math.max(1, requests)).toFixed(2)
    }
    const lost = own.filter((c) => notWon(c) !== '').map((c) => `${c.coldStartMs / 1000} s, min ${c.minScale}: ${notWon(c)}`)
    const none = own.every((c) => c.theirs.requests === 0)
    return [
      scene,
      group,
      none ? '-' : `${share((c) => c.ours)} (${share((c) => c.theirs)})`,
      none ? '-' : r.waited.toFixed(2),
      none ? '-' : r.p99.toFixed(2),
      r.podS.toFixed(2),
      `${own.reduce((s, c) => s + c.ours.busyStopped, 0)} (${own.reduce((s, c) => s + c.theirs.busyStopped, 0)})`,
      lost.join('; ') || 'none',
    ]
  })
  return [head, head.map(() => '---'), ...rows].map((r) => `| ${r.join(' | ')} |`).join('\n') + '\n'
}

export function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((r) => (r[i] ?? '').length)))
  return rows
    .map((r) => r.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ') + '\n')
    .join('')
}
