/** One sample of an exposition. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: Sample[]
}

export interface Exposition {
  readonly families: ReadonlyMap<string, Family>
  /** The samples of a name with these labels among theirs. */
  all(name: string, labels?: Readonly<Record<string, string>>): Sample[]
  /** Their sum; 0 where there is none. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (NaN|[+-]Inf|-?[0-9]+(?:\\.[0-9]+)?(?:e[+-]?[0-9]+)?)$`)
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)/

/**
 * Reads the text line by line and throws at the first one the format does not allow. Prometheus text 0.0.4, OpenMetrics 1.0:
 * a family is in one piece, HELP and TYPE first, no series twice, counters end in `_total`, buckets grow and end in +Inf.
 */
export function parseExposition(text: string, format: 'prometheus' | 'openmetrics' = 'prometheus'): Exposition {
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  let current: Family | null = null
  let help: { name: string; text: string } | null = null
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const lines = text.slice(0, -1).split('\n')
  if (format === 'openmetrics' && lines.pop() !== '# EOF') throw new Error('# EOF is not the last line')
  for (const [i, line] of lines.entries()) {
    const bad = (why: string): Error => new Error(`line ${i + 1}: ${why}: ${line}`)
    const helped = new RegExp(`^# HELP (${NAME}) (.*)$`).exec(line)
    const typed = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`).exec(line)
    if (helped !== null) help = { name: helped[1] ?? '', text: helped[2] ?? '' }
    else if (typed !== null) {
      const [, name = '', type = ''] = typed
      if (help?.name !== name) throw bad('TYPE without HELP before it')
      if (families.has(name)) throw bad('a family in two pieces')
      current = { name, type, help: help.text, samples: [] }
      families.set(name, current)
    } else {
      const match = SAMPLE.exec(line)
      if (match === null) throw bad('no sample, HELP or TYPE')
      const sample = { name: match[1] ?? '', labels: labelsOf(match[2] ?? '', bad), value: numberOf(match[3] ?? '') }
      if (current === null || !namesOf(current, format).includes(sample.name)) throw bad('a sample outside of its family')
      const series = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).toSorted(([a], [b]) => (a < b ? -1 : 1)))}`
      if (seen.has(series)) throw bad('a series twice')
      seen.add(series)
      current.samples.push(sample)
    }
  }
  for (const family of families.values()) if (family.type === 'histogram') checkBuckets(family)
  const of = (name: string, labels: Readonly<Record<string, string>>): Sample[] =>
    [...families.values()]
      .flatMap((f) => f.samples)
      .filter((s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v))
  return {
    families,
    all: (name, labels = {}) => of(name, labels),
    sum: (name, labels = {}) => of(name, labels).reduce((total, s) => total + s.value, 0),
  }
}

function namesOf({ name, type }: Family, format: string): string[] {
  if (type === 'histogram') return [`${name}_bucket`, `${name}_sum`, `${name}_count`]
  if (type === 'counter') return [format === 'prometheus' ? name : `${name}_total`]
  return [name]
}

function labelsOf(text: string, bad: (why: string) => Error): Record<string, string> {
  const labels: Record<string, string> = {}
  let rest = text
  while (rest !== '') {
    const match = LABEL.exec(rest)
    if (match === null) throw bad('labels that do not parse')
    const [all, name = '', value = ''] = match
    if (Object.hasOwn(labels, name)) throw bad(`label ${name} twice`)
    labels[name] = value.replace(/\\(["\\n])/g, (_, c: string) => (c === 'n' ? '\n' : c))
    rest = rest.slice(all.length)
  }
  return labels
}

function numberOf(text: string): number {
  return text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text)
}

/** By series: cumulative, ascending bounds, the last one +Inf and equal to the count. */
function checkBuckets(family: Family): void {
  const series = new Map<string, { bounds: number[]; counts: number[] }>()
  const keyOf = (s: Sample): string => JSON.stringify(Object.entries(s.labels).filter(([k]) => k !== 'le'))
  for (const s of family.samples.filter((x) => x.name.endsWith('_bucket'))) {
    const of = series.get(keyOf(s)) ?? { bounds: [], counts: [] }
    of.bounds.push(numberOf(s.labels['le'] ?? ''))
    of.counts.push(s.value)
    series.set(keyOf(s), of)
  }
  for (const s of family.samples.filter((x) => x.name.endsWith('_count'))) {
    const { bounds, counts } = series.get(keyOf(s)) ?? { bounds: [], counts: [] }
    const ascending = (list: number[], strictly: boolean): boolean =>
      list.every((n, i) => i === 0 || (strictly ? n > (list[i - 1] ?? 0) : n >= (list[i - 1] ?? 0)))
    if (bounds.at(-1) !== Infinity || !ascending(bounds, true) || !ascending(counts, false) || counts.at(-1) !== s.value)
      throw new Error(`the buckets of ${family.name} ${keyOf(s)} are wrong: ${bounds.join(' ')} / ${counts.join(' ')}`)
  }
}
