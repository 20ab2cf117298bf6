import { describe, expect, test } from 'vitest'
import { CONTENT_TYPES, renderExposition } from '../../src/observe/exposition.ts'
import { Histogram, LATENCY_BOUNDS_S } from '../../src/observe/histogram.ts'
import { keyLabels, MOST_LABEL_SETS, type Instrument, type Readings, type Row } from '../../src/observe/instrument.ts'
import { INSTRUMENTS } from '../../src/observe/instruments.ts'
import { parseExposition } from './exposition-parser.ts'
import { emptyReadings } from './readings.ts'

const still = { now: () => 0, soon: (f: () => void) => void setImmediate(f) }
const readings: Readings = emptyReadings()

async function textOf(instruments: readonly Instrument[], format: 'prometheus' | 'openmetrics' = 'prometheus'): Promise<string> {
  let text = ''
  for await (const slice of renderExposition(readings, format, still, instruments)) text += slice
  return text
}

function instrument(
  name: string,
  type: Instrument['type'],
  rows: readonly Row[],
  labels: readonly string[] = ['name'],
): Instrument {
  return { name, type, help: 'Of a test.', labels, section: 'process', rows: () => rows }
}

function distribution(...ms: number[]): Row['value'] {
  const h = new Histogram()
  for (const one of ms) h.add(one)
  return h.copy()
}

describe('the text', () => {
  test('is what both formats want, to the letter', async () => {
    const rows = [
      instrument('a_events', 'counter', [{ labels: { name: 'x' }, value: 3 }]),
      instrument('b_pods', 'gauge', [{ labels: {}, value: Number.NaN }]),
      instrument('c_seconds', 'histogram', [{ labels: { name: 'y' }, value: distribution(1, 1_000, 400_000) }]),
    ]
    const buckets = (le: (bound: number) => string): string[] =>
      LATENCY_BOUNDS_S.map((b) => `c_seconds_bucket{name="y",le="${le(b)}"} ${b < 0.001 ? 0 : b < 1 ? 1 : 2}`)
    const end = ['c_seconds_bucket{name="y",le="+Inf"} 3', 'c_seconds_sum{name="y"} 401.001', 'c_seconds_count{name="y"} 3', '']
    expect((await textOf(rows)).split('\n')).toEqual([
      '# HELP a_events_total Of a test.',
      '# TYPE a_events_total counter',
      'a_events_total{name="x"} 3',
      '# HELP b_pods Of a test.',
      '# TYPE b_pods gauge',
      'b_pods NaN',
      '# HELP c_seconds Of a test.',
      '# TYPE c_seconds histogram',
      ...buckets(String),
      ...end,
    ])
    expect((await textOf(rows, 'openmetrics')).split('\n')).toEqual([
      '# HELP a_events Of a test.',
      '# TYPE a_events counter',
      'a_events_total{name="x"} 3',
      '# HELP b_pods Of a test.',
      '# TYPE b_pods gauge',
      'b_pods NaN',
      '# HELP c_seconds Of a test.',
      '# TYPE c_seconds histogram',
      ...buckets((b) => (Number.isInteger(b) ? `${b}.0` : String(b))),
      ...end.slice(0, -1),
      '# EOF',
      '',
    ])
    expect(CONTENT_TYPES.openmetrics).toContain('version=1.0.0')
  })

  test('escapes what label values and help may hold, and writes every number', async () => {
    const nasty = 'a "quoted" \\ path\nnext, {line}=1'
    const rows = [
      { labels: { name: nasty }, value: Infinity },
      { labels: { name: 'minus' }, value: -Infinity },
      { labels: { name: 'small' }, value: 1.5e-7 },
      { labels: { name: 'großer Käse' }, value: -12.25 },
    ]
    const one = { ...instrument('a_gauge', 'gauge', rows), help: 'One \\ line\nand another.' }
    for (const format of ['prometheus', 'openmetrics'] as const) {
      const parsed = parseExposition(await textOf([one], format), format)
      expect(parsed.all('a_gauge').map((s) => [s.labels['name'], s.value])).toEqual(rows.map((r) => [r.labels.name, r.value]))
      expect(parsed.families.get('a_gauge')?.help).toBe('One \\\\ line\\nand another.')
    }
  })

  test('every instrument of the table parses in both formats without a value', async () => {
    expect(INSTRUMENTS.length).toBeGreaterThan(40)
    for (const format of ['prometheus', 'openmetrics'] as const) {
      const { families } = parseExposition(await textOf(INSTRUMENTS, format), format)
      expect(families.size).toBe(INSTRUMENTS.length)
    }
    expect(new Set(INSTRUMENTS.map((i) => i.name)).size).toBe(INSTRUMENTS.length)
    for (const i of INSTRUMENTS) {
      expect(i.name, i.name).toMatch(/^(sluice|process)_[a-z_]+[a-z]$/)
      expect(i.name, 'the renderer writes it').not.toMatch(/_total$/)
      expect(i.help, i.name).toMatch(/^[A-Z1].*\.$/)
      if (i.type === 'histogram') expect(i.name).toMatch(/_seconds$/)
    }
  })
})

describe('bounds', () => {
  const labelled = (n: number, value: (i: number) => Row['value']): Row[] =>
    Array.from({ length: n }, (_, i) => ({ labels: { name: `n${i}` }, value: value(i) }))

  test('what is over 2,000 label sets is one row more, and nothing of it is missing', async () => {
    const exact = parseExposition(
      await textOf([
        instrument(
          'a_events',
          'counter',
          labelled(MOST_LABEL_SETS, () => 1),
        ),
      ]),
    )
    expect(exact.all('a_events_total')).toHaveLength(2_000)
    expect(exact.all('a_events_total', { name: 'overflow' })).toEqual([])
    const over = parseExposition(
      await textOf([
        instrument(
          'a_events',
          'counter',
          labelled(MOST_LABEL_SETS + 500, (i) => i),
        ),
      ]),
    )
    expect(over.all('a_events_total')).toHaveLength(2_001)
    expect(over.sum('a_events_total', { name: 'overflow' })).toBe((2_000 + 2_499) * 250)
    expect(over.sum('a_events_total')).toBe((2_499 * 2_500) / 2)
    // A counter that overflows with nothing is there from the beginning, so that its rate is seen.
    const zero = parseExposition(
      await textOf([
        instrument(
          'a_events',
          'counter',
          labelled(MOST_LABEL_SETS + 1, () => 0),
        ),
      ]),
    )
    expect(zero.all('a_events_total', { name: 'overflow' })).toHaveLength(1)
  })

  test('histograms overflow by bucket', async () => {
    const rows = labelled(MOST_LABEL_SETS + 3, (i) => distribution(i < MOST_LABEL_SETS ? 1 : 100 * (i - MOST_LABEL_SETS + 1)))
    const over = parseExposition(await textOf([instrument('a_seconds', 'histogram', rows)]))
    const of = { name: 'overflow' }
    expect(over.sum('a_seconds_count', of)).toBe(3)
    expect(over.sum('a_seconds_sum', of)).toBeCloseTo(0.6, 9)
    expect(over.sum('a_seconds_bucket', { ...of, le: '0.1' })).toBe(1)
    expect(over.sum('a_seconds_bucket', { ...of, le: '0.25' })).toBe(2)
    expect(over.sum('a_seconds_count')).toBe(2_003)
  })

  test('the loop gets its turn after every slice, and no slice takes 2 ms', async () => {
    // A clock on which each label set costs 20 µs, and a turn of the loop in between is counted.
    let nowMs = 0
    let turns = 0
    const time = { now: () => nowMs, soon: (f: () => void) => (turns++, setImmediate(f)) }
    const rows = labelled(MOST_LABEL_SETS, () => 1)
    const slow: Instrument = {
      ...instrument('a_events', 'counter', []),
      *rows() {
        for (const row of rows) {
          nowMs += 0.02
          yield row
        }
      },
    }
    let text = ''
    let beganMs = 0
    let longestMs = 0
    for await (const slice of renderExposition(readings, 'prometheus', time, [slow])) {
      longestMs = Math.max(longestMs, nowMs - beganMs)
      beganMs = nowMs
      text += slice
    }
    expect(nowMs).toBeCloseTo(40, 6)
    expect(longestMs).toBeLessThan(2)
    expect(turns).toBeGreaterThanOrEqual(20)
    expect(parseExposition(text).all('a_events_total')).toHaveLength(2_000)
  })
})

describe('the parser of these tests finds', () => {
  const head = '# HELP a x\n# TYPE a gauge\n'
  test.each([
    ['no end', `${head}a 1`],
    ['no family', 'a 1\n'],
    ['a series twice', `${head}a{n="1"} 1\na{n="1"} 2\n`],
    ['two pieces', `${head}a 1\n# HELP b x\n# TYPE b gauge\nb 1\n${head}`],
    ['a bare quote', `${head}a{n="""} 1\n`],
    ['a bare backslash', `${head}a{n="\\t"} 1\n`],
    ['no number', `${head}a x\n`],
    ['an empty line', `${head}\na 1\n`],
    ['a counter without _total', '# HELP a x\n# TYPE a counter\nb 1\n'],
    ['shrinking buckets', '# HELP a x\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n'],
    ['no last bucket', '# HELP a x\n# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n'],
  ])('%s', (_what, text) => {
    expect(() => parseExposition(text)).toThrow(/line|end|buckets/)
  })
})

test('keys become labels, whatever they look like', () => {
  expect(keyLabels('trigger/default/orders')).toEqual({ kind: 'trigger', namespace: 'default', name: 'orders' })
  expect(keyLabels('trigger/default/orders#subscriber')).toMatchObject({ name: 'orders#subscriber' })
  expect(keyLabels('http://somewhere/a/b')).toEqual({ kind: '', namespace: '', name: 'http://somewhere/a/b' })
  expect(keyLabels('')).toEqual({ kind: '', namespace: '', name: '' })
})
