import fc from 'fast-check'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { faultText } from '../../src/resources/faults.ts'
import { type Document, isObject, parseText } from '../../src/resources/load.ts'
import { planFrom } from '../../src/resources/plan.ts'
import { SETTINGS } from './planning.ts'
import { SAMPLES } from './samples.ts'

const samples = parseText(SAMPLES, 'm.yaml').documents.map((d) => d.value)
const scalar = fc.oneof(
  fc.constantFrom(
    'a',
    'default',
    'http://127.0.0.1:8080/default/a',
    'PT1S',
    '1',
    '-1',
    'NaN',
    '',
    '10s',
    '__proto__',
    '1e999',
    '$(A)',
  ),
  fc.string(),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
)
const anything = fc.oneof({ weight: 3, arbitrary: scalar }, { weight: 1, arbitrary: fc.anything({ maxDepth: 3 }) })
const change = fc.record({
  at: fc.nat(),
  how: fc.constantFrom('replace', 'remove', 'add', 'copy'),
  name: fc.string(),
  value: anything,
})

type Change = typeof change extends fc.Arbitrary<infer T> ? T : never

/** Every object, list and value of a resource, so that a change may hit any of them. */
function places(
  value: unknown,
  at: { parent: unknown; key: string | number }[] = [],
): { parent: unknown; key: string | number }[] {
  if (typeof value !== 'object' || value === null) return at
  for (const key of Array.isArray(value) ? value.keys() : Object.keys(value)) {
    at.push({ parent: value, key })
    places((value as Record<string | number, unknown>)[key], at)
  }
  return at
}

function mutate(resources: readonly unknown[], changes: readonly Change[]): unknown[] {
  const copy = structuredClone([...resources])
  for (const c of changes) {
    const all = places(copy)
    const place = all[c.at % all.length]
    const parent = place?.parent as Record<string | number, unknown> | undefined
    if (place === undefined || parent === undefined) continue
    if (c.how === 'remove') Reflect.deleteProperty(parent, place.key)
    else if (c.how === 'add' && isObject(parent)) parent[c.name] = c.value
    else if (c.how === 'copy') {
      const other = all[Math.floor(c.at / 7) % all.length]
      parent[place.key] = structuredClone(
        other === undefined ? null : (other.parent as Record<string | number, unknown>)[other.key],
      )
    } else parent[place.key] = c.value
  }
  return copy
}

const atLine1 = (value: unknown): Document => ({ value, file: 'm.yaml', lineOf: () => 1 })

test('whatever stands in the kinds we serve becomes a plan or faults, never an error', () => {
  let sound = 0
  let faulty = 0
  const drawn = fc.tuple(fc.subarray(samples, { minLength: 1, maxLength: 6 }), fc.array(change, { maxLength: 4 }))
  fc.assert(
    fc.property(drawn, ([resources, changes]) => {
      const { plan, faults } = planFrom(Array.from(mutate(resources, changes), atLine1), SETTINGS)
      for (const f of faults) expect(faultText(f)).toMatch(/^m\.yaml:1: /)
      expect(plan.resources.length).toBeLessThanOrEqual(resources.length)
      // A copied Secret is a value that somebody wrote elsewhere.
      const copied = changes.some((c) => c.how === 'copy')
      expect(copied || !/hunter2|tr0ub4dor/.test(JSON.stringify(plan))).toBe(true)
      if (faults.length === 0) sound++
      else faulty++
    }),
    { numRuns: 800 },
  )
  // A generator that makes only one of the two would prove little.
  expect(sound).toBeGreaterThan(50)
  expect(faulty).toBeGreaterThan(50)
})

test('documents that are no resources at all are faults as well', () => {
  fc.assert(
    fc.property(fc.anything({ maxDepth: 3 }), (value) => {
      const { plan, faults } = planFrom([atLine1(value)], SETTINGS)
      expect(plan.resources).toEqual([])
      expect(faults.length + plan.notices.length).toBeGreaterThan(0)
    }),
    { numRuns: 500 },
  )
})

test('any text is read to the end, with every fault on a line of it', () => {
  const pieces = [
    'kind: List',
    'items:',
    '- a: &x 1',
    '  b: *x',
    '---',
    '\t',
    '{',
    '}',
    '[',
    ']',
    '? ',
    ': ',
    '&a [*a, *a]',
    '<<: *x',
    '"',
  ]
  const text = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.array(fc.constantFrom(...pieces), { maxLength: 30 }).map((l) => l.join('\n')),
    fc.object({ maxDepth: 3 }).map((o) => stringify(o)),
  )
  fc.assert(
    fc.property(text, (yaml) => {
      const { faults, documents } = parseText(yaml, 'm.yaml')
      const lines = yaml.split(/\r\n|\r|\n/).length
      for (const f of faults) expect(f.line).toBeLessThanOrEqual(lines)
      for (const d of documents) expect(d.lineOf(['a', 0, 'b'])).toBeLessThanOrEqual(lines)
      planFrom(documents, SETTINGS)
    }),
    { numRuns: 500 },
  )
})
