import { LATENCY_BOUNDS_S, type Histogram } from './histogram.ts'
import { INSTRUMENTS, MOST_LABEL_SETS, type Instrument, type Labels, type Readings, type Row } from './instruments.ts'

export type ExpositionFormat = 'prometheus' | 'openmetrics'

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

/** Rendering stops and lets the loop turn after this long; a scrape must not be felt by events. */
const SLICE_MS = 2
const LINES_BETWEEN_LOOKS = 100

/**
 * The exposition text in slices. All values are read before the first slice is handed out, so that one scrape shows one
 * instant; only the writing is spread over turns of the loop.
 * Prometheus text format 0.0.4, OpenMetrics 1.0.
 */
export async function renderExposition(
  readings: Readings,
  format: ExpositionFormat,
  time: { now(): number; soon(f: () => void): void },
): Promise<string> {
  const families = INSTRUMENTS.map((instrument) => ({ instrument, rows: freeze(instrument, readings) }))
  const parts: string[] = []
  let startMs = time.now()
  let lines = 0
  for (const line of linesOf(families, format)) {
    parts.push(line)
    if (++lines % LINES_BETWEEN_LOOKS === 0 && time.now() - startMs > SLICE_MS) {
      await new Promise<void>((resolve) => time.soon(resolve))
      startMs = time.now()
    }
  }
  return parts.join('')
}

/** A histogram goes on counting while the text is written: its numbers are copied with all others. */
type FrozenRow = {
  readonly labels: Labels
  readonly value: number | { readonly counts: Float64Array; readonly sum: number; readonly count: number }
}

function freeze(instrument: Instrument, readings: Readings): FrozenRow[] {
  const rows: FrozenRow[] = []
  let folded = 0
  for (const row of instrument.rows(readings)) {
    if (rows.length < MOST_LABEL_SETS) rows.push(frozen(row))
    else if (typeof row.value === 'number') folded += row.value
  }
  if (rows.length === MOST_LABEL_SETS && folded > 0) {
    rows.push({ labels: Object.fromEntries(instrument.labels.map((l) => [l, 'overflow'])), value: folded })
  }
  return rows
}

function frozen(row: Row): FrozenRow {
  if (typeof row.value === 'number') return { labels: row.labels, value: row.value }
  const h: Histogram = row.value
  return { labels: row.labels, value: { counts: h.counts.slice(), sum: h.sumS(), count: h.count() } }
}

function* linesOf(
  families: readonly { readonly instrument: Instrument; readonly rows: readonly FrozenRow[] }[],
  format: ExpositionFormat,
): Iterable<string> {
  for (const { instrument, rows } of families) {
    const { name, type, help } = instrument
    // OpenMetrics names the family without `_total`, the older format with it.
    const family = type === 'counter' && format === 'prometheus' ? totalName(name) : name
    yield `# HELP ${family} ${help}\n# TYPE ${family} ${type}\n`
    for (const { labels, value } of rows) {
      if (typeof value === 'number')
        yield `${type === 'counter' ? totalName(name) : name}${labelText(labels, '')} ${numberText(value)}\n`
      else yield* histogramLines(name, labels, value)
    }
  }
  if (format === 'openmetrics') yield '# EOF\n'
}

function* histogramLines(
  name: string,
  labels: Labels,
  h: { counts: Float64Array; sum: number; count: number },
): Iterable<string> {
  let seen = 0
  for (let i = 0; i < LATENCY_BOUNDS_S.length; i++) {
    seen += h.counts[i] ?? 0
    yield `${name}_bucket${labelText(labels, `le="${LATENCY_BOUNDS_S[i]}"`)} ${seen}\n`
  }
  yield `${name}_bucket${labelText(labels, 'le="+Inf"')} ${h.count}\n${name}_sum${labelText(labels, '')} ${numberText(h.sum)}\n${name}_count${labelText(labels, '')} ${h.count}\n`
}

export function totalName(name: string): string {
  return `${name}_total`
}

function labelText(labels: Labels, last: string): string {
  const pairs = Object.entries(labels).map(
    ([n, v]) => `${n}="${v.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`,
  )
  if (last !== '') pairs.push(last)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function numberText(n: number): string {
  if (n === Infinity) return '+Inf'
  if (n === -Infinity) return '-Inf'
  return String(n)
}
