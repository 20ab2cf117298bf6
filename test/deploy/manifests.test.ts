import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { autoscale } from '../../src/cli/autoscale.ts'
import { parseFor, type Command } from '../../src/cli/command.ts'
import { run } from '../../src/cli/run.ts'
import { INSTRUMENTS } from '../../src/observe/instruments.ts'

const root = join(import.meta.dirname, '..', '..', 'deploy')
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.yaml'))
const text = (file: string): string => readFileSync(join(root, file), 'utf8')

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec?: {
    readonly triggers?: readonly { readonly type: string; readonly metadata: Readonly<Record<string, string>> }[]
    readonly metrics?: readonly { readonly external: { readonly metric: { readonly name: string } } }[]
    readonly template?: { readonly spec: PodSpec }
  }
}
interface PodSpec {
  readonly containers: readonly {
    readonly args: readonly string[]
    readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
    readonly volumeMounts: readonly { readonly name: string }[]
    readonly readinessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } }
    readonly livenessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } }
  }[]
  readonly volumes: readonly { readonly name: string }[]
}

function documentsOf(file: string): Manifest[] {
  return parseAllDocuments(text(file)).map((d) => {
    expect(d.errors, file).toEqual([])
    return d.toJS() as Manifest
  })
}
const all = files.flatMap(documentsOf)
const containersOf = (m: Manifest): PodSpec['containers'] => m.spec?.template?.spec.containers ?? []

test('there are the examples the docs name', () => {
  expect(files.sort()).toEqual(
    expect.arrayContaining([
      'autoscale/autoscale.yaml',
      'hpa/hpa-external.yaml',
      'hpa/prometheus-adapter-rules.yaml',
      'keda/scaledobject-external-push.yaml',
      'keda/scaledobject-external.yaml',
      'keda/scaledobject-prometheus.yaml',
      'kubernetes/gateway.yaml',
    ]),
  )
})

describe('every metric that is named exists', () => {
  const docs = join(root, '..', 'docs', 'autoscaling-signals.md')
  const texts = [...files.map((f) => [f, text(f)] as const), ['docs/autoscaling-signals.md', readFileSync(docs, 'utf8')] as const]
  const series = new Set(INSTRUMENTS.map((i) => (i.type === 'counter' ? `${i.name}_total` : i.name)))
  // Names the adapter gives; those of the HPA must be among them.
  const given = [...text('hpa/prometheus-adapter-rules.yaml').matchAll(/as: (\w+)/g)].map((m) => m[1] ?? '')

  test.each(texts)('%s', (_file, body) => {
    const named = [...body.matchAll(/\bsluice_[a-z_]+\b/g)].map((m) => m[0])
    expect(named.filter((n) => !series.has(n) && !given.includes(n))).toEqual([])
  })

  test('the HPA asks for what the adapter gives', () => {
    const asked = all.flatMap((m) => m.spec?.metrics ?? []).map((m) => m.external.metric.name)
    expect(asked.length).toBeGreaterThan(0)
    for (const name of asked) expect(given).toContain(name)
  })

  test('gauges of a revision are in the docs, each with its sum', () => {
    const page = readFileSync(docs, 'utf8')
    const gauges = INSTRUMENTS.filter((i) => i.name.startsWith('sluice_revision_'))
    expect(gauges.length).toBeGreaterThan(8)
    for (const i of gauges) expect(page, i.name).toContain(i.type === 'counter' ? `${i.name}_total` : i.name)
  })
})

describe('commands in containers are commands of ours', () => {
  const commands: Readonly<Record<string, Command>> = { run, autoscale }
  const containers = all.flatMap(containersOf)

  test('their options parse', () => {
    expect(containers.length).toBe(2)
    for (const { args } of containers) {
      const [name = '', ...rest] = args
      const command = commands[name]
      expect(command, name).toBeDefined()
      if (command !== undefined) expect(parseFor(command, rest)).not.toBe('help')
    }
  })

  test('mounts have their volume, probes their port', () => {
    for (const m of all)
      for (const c of containersOf(m)) {
        const volumes = m.spec?.template?.spec.volumes.map((v) => v.name) ?? []
        for (const mount of c.volumeMounts) expect(volumes).toContain(mount.name)
        for (const probe of [c.readinessProbe, c.livenessProbe])
          if (probe !== undefined) expect(c.ports?.map((p) => p.name)).toContain(probe.httpGet.port)
      }
  })
})

test('triggers of KEDA have what the scaler wants', () => {
  const triggers = all.flatMap((m) => m.spec?.triggers ?? [])
  expect(new Set(triggers.map((t) => t.type))).toEqual(new Set(['external', 'external-push', 'prometheus']))
  for (const { type, metadata } of triggers) {
    if (type === 'prometheus') continue
    expect(metadata['scalerAddress']).toMatch(/:9091$/)
    expect(['service', 'subscription', 'source'].filter((k) => metadata[k] !== undefined)).toHaveLength(1)
    for (const value of Object.values(metadata)) expect(typeof value).toBe('string')
  }
})
