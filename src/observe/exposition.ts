import { type Distribution, LATENCY_BOUNDS_S, sumOf } from './histogram.ts'
import { MOST_LABEL_SETS, type Instrument, type Labels, type Readings, type Row } from './instrument.ts'
import { INSTRUMENTS } from './instruments.ts'

export type ExpositionFormat = 'prometheus' | 'openmetrics'

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

/** Half of what a scrape may hold the loop at once: the rest is for sending the slice. */
const SLICE_MS = 1
const LINES_BETWEEN_LOOKS = 32

/**
 * The exposition text in slices, each written within a turn of the loop. The readings are copies, so that one scrape shows
 * one instant however long its writing takes. Prometheus text format 0.0.4, OpenMetrics 1.0.
 */
export async function* renderExposition(
  readings: Readings,
  format: ExpositionFormat,
  time: { now(): number; soon(f: () => void): void },
  instruments: readonly Instrument[] = INSTRUMENTS,
): AsyncGenerator<string, void, undefined> {
  let text = ''
  let startMs = time.now()
  let lines = 0
  for (const line of linesOf(instruments, readings, format)) {
    text += line
    if (++lines % LINES_BETWEEN_LOOKS !== 0 || time.now() - startMs < SLICE_MS) continue
    yield text
    text = ''
    await new Promise<void>((resolve) => time.soon(resolve))
    startMs = time.now()
  }
  yield text
}

function* linesOf(instruments: readonly Instrument[], readings: Readings, format: ExpositionFormat): Iterable<string> {
  for (const instrument of instruments) {
    const { name, type, help } = instrument
    // OpenMetrics names the family without `_total`, the older format with it.
    const family = type === 'counter' && format === 'prometheus' ? totalName(name) : name
    yield `# HELP ${family} ${help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')}\n# TYPE ${family} ${type}\n`
    for (const { labels, value } of bounded(instrument, readings)) {
      if (typeof value !== 'number') yield* distributionLines(name, labels, value, format)
      else yield `${type === 'counter' ? totalName(name) : name}${labelText(labels, '')} ${numberText(value)}\n`
    }
  }
  if (format === 'openmetrics') yield '# EOF\n'
}

/** What is over the bound is added up in one last row. */
function* bounded(instrument: Instrument, readings: Readings): Iterable<Row> {
  let rows = 0
  let rest: Row['value'] | undefined
  for (const row of instrument.rows(readings)) {
    if (rows++ < MOST_LABEL_SETS) yield row
    else if (rest === undefined) rest = row.value
    else if (typeof rest === 'number') rest += typeof row.value === 'number' ? row.value : 0
    else if (typeof row.value !== 'number') rest = sumOf(rest, row.value)
  }
  if (rest !== undefined) yield { labels: Object.fromEntries(instrument.labels.map((l) => [l, 'overflow'])), value: rest }
}

function* distributionLines(name: string, labels: Labels, d: Distribution, format: ExpositionFormat): Iterable<string> {
  const bounds = format === 'openmetrics' ? OPENMETRICS_BOUNDS : PROMETHEUS_BOUNDS
  let seen = 0
  for (let i = 0; i < bounds.length; i++) {
    seen += d.counts[i] ?? 0
    yield `${name}_bucket${labelText(labels, `le="${bounds[i]}"`)} ${seen}\n`
  }
  yield `${name}_bucket${labelText(labels, 'le="+Inf"')} ${d.count}\n`
  yield `${name}_sum${labelText(labels, '')} ${numberText(d.sumS)}\n`
  yield `${name}_count${labelText(labels, '')} ${d.count}\n`
}

const PROMETHEUS_BOUNDS = LATENCY_BOUNDS_S.map(String)
/** Whole numbers are written with a fraction. OpenMetrics 1.0, "Considerations: Canonical Numbers" */
const OPENMETRICS_BOUNDS = LATENCY_BOUNDS_S.map((b) => (Number.isInteger(b) ? `${b}.0` : String(b)))

export function totalName(name: string): string {
  return `${name}_total`
}

function labelText(labels: Labels, last: string): string {
  let text = ''
  for (const name in labels) text += `${text === '' ? '' : ','}${name}="${escaped(labels[name] ?? '')}"`
  if (last !== '') text += text === '' ? last : `,${last}`
  return text === '' ? '' : `{${text}}`
}

function escaped(value: string): string {
  return /[\\"\n]/.test(value) ? value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n') : value
}

function numberText(n: number): string {
  if (n === Infinity) return '+Inf'
  if (n === -Infinity) return '-Inf'
  return String(n)
}
