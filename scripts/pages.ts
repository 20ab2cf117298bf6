import { type Instrument } from '../src/observe/instrument.ts'
import { INSTRUMENTS } from '../src/observe/instruments.ts'
import { totalName } from '../src/observe/exposition.ts'
import { ERRORS } from '../src/runtime/errors.ts'

const SECTIONS: readonly Instrument['section'][] = ['ingress', 'streams', 'subscriptions', 'attempts', 'services', 'process']

function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(([code, e]) => `| \`${code}\` | ${e.retryable ? 'yes' : 'no'} | ${e.about} |`)
  return [
    '<!-- Generated from src/runtime/errors.ts by npm run generate: do not edit. -->',
    '# Error codes',
    '',
    'Retryable: doing the same again later can help.',
    '',
    '| code | retryable | about |',
    '| --- | --- | --- |',
    ...rows,
    '',
  ].join('\n')
}

function metricsPage(): string {
  const lines = [
    '<!-- Generated from src/observe/instruments.ts by npm run generate: do not edit. -->',
    '# Metrics',
    '',
    '`GET /metrics` on the admin port: Prometheus text, OpenMetrics by `Accept`. At most 2,000 label sets an instrument, then `overflow`.',
    '',
  ]
  for (const section of SECTIONS) {
    lines.push(`## ${section}`, '', '| metric | type | labels | about |', '| --- | --- | --- | --- |')
    for (const i of INSTRUMENTS.filter((x) => x.section === section))
      lines.push(`| \`${nameOf(i)}\` | ${i.type} | ${i.labels.join(', ')} | ${i.help} |`)
    lines.push('')
  }
  return lines.join('\n')
}

function nameOf(i: Instrument): string {
  return i.type === 'counter' ? totalName(i.name) : i.name
}

/** One panel an instrument: rates of counters, 99th percentiles of histograms, gauges as they are. */
function dashboard(): string {
  let id = 0
  let y = 0
  const panels: unknown[] = []
  for (const section of SECTIONS) {
    panels.push({ id: ++id, type: 'row', title: section, gridPos: { x: 0, y: y++, w: 24, h: 1 } })
    INSTRUMENTS.filter((i) => i.section === section).forEach((i, n) => {
      const by = i.labels.length === 0 ? '' : ` by (${i.labels.join(', ')})`
      const expr =
        i.type === 'counter'
          ? `sum${by} (rate(${nameOf(i)}[1m]))`
          : i.type === 'histogram'
            ? `histogram_quantile(0.99, sum by (${[...i.labels, 'le'].join(', ')}) (rate(${i.name}_bucket[1m])))`
            : `sum${by} (${i.name})`
      panels.push({
        id: ++id,
        type: 'timeseries',
        title: i.type === 'histogram' ? `${i.name} p99` : i.name,
        description: i.help,
        datasource: { type: 'prometheus', uid: '${datasource}' },
        fieldConfig: {
          defaults: { unit: i.name.endsWith('_seconds') ? 's' : i.name.endsWith('_bytes') ? 'bytes' : 'short' },
          overrides: [],
        },
        gridPos: { x: (n % 3) * 8, y: y + Math.floor(n / 3) * 7, w: 8, h: 7 },
        targets: [{ refId: 'A', expr, legendFormat: i.labels.map((l) => `{{${l}}}`).join(' ') }],
      })
    })
    y += Math.ceil(INSTRUMENTS.filter((i) => i.section === section).length / 3) * 7
  }
  return (
    JSON.stringify(
      {
        __comment: 'Generated from src/observe/instruments.ts by npm run generate: do not edit.',
        title: 'Sluice',
        uid: 'sluice',
        schemaVersion: 39,
        refresh: '10s',
        time: { from: 'now-30m', to: 'now' },
        templating: { list: [{ name: 'datasource', type: 'datasource', query: 'prometheus' }] },
        panels,
      },
      null,
      2,
    ) + '\n'
  )
}

/** Every generated file, by its path from the top of the repository. */
export const PAGES: Readonly<Record<string, () => string>> = {
  'docs/errors.md': errorsPage,
  'docs/metrics.md': metricsPage,
  'deploy/grafana/sluice.json': dashboard,
}
