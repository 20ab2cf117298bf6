import fc from 'fast-check'
import type { AttributeValue, Extension } from '../../src/event/event.ts'
import { CloudEvent } from '../../src/event/event.ts'
import type { HeaderView } from '../../src/event/http.ts'

/** An event as plain values, for `toEqual`: data as latin1 text, extensions by name, the envelope left out. */
export function shape(e: CloudEvent): Record<string, unknown> {
  return {
    specversion: e.specversion,
    id: e.id,
    source: e.source,
    type: e.type,
    subject: e.subject,
    time: e.time,
    datacontenttype: e.datacontenttype,
    dataschema: e.dataschema,
    extensions: Object.fromEntries(e.extensions.map(([name, value]) => [name, plain(value)])),
    data: e.data === null ? null : Buffer.from(e.data).toString('latin1'),
  }
}

/** The same with every extension as the text a binding shows, because bindings carry no types. */
export function textShape(e: CloudEvent): Record<string, unknown> {
  const extensions = Object.fromEntries(e.extensions.map(([name, value]) => [name, String(plain(value))]))
  return { ...shape(e), extensions }
}

function plain(value: AttributeValue): AttributeValue {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value
}

/** Headers as a list of pairs, as a server would give them: any case, repeated ones twice. */
export function headerView(pairs: readonly (readonly [string, string])[]): HeaderView {
  const lower = pairs.map(([name, value]) => [name.toLowerCase(), value] as const)
  return {
    get: (name) => lower.find(([n]) => n === name)?.[1],
    each: (f) => {
      for (const [name, value] of lower) f(name, value)
    },
  }
}

/** name, value, name, value … as pairs. */
export function pairsOf(list: readonly string[]): [string, string][] {
  const pairs: [string, string][] = []
  for (let i = 0; i < list.length; i += 2) pairs.push([list[i] as string, list[i + 1] as string])
  return pairs
}

export function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'utf8')
}

/** The type String as the specification writes it, by a way of its own. */
const isAllowed = (text: string): boolean =>
  !/[\p{Cc}\p{Noncharacter_Code_Point}]/u.test(text) && Buffer.from(text, 'utf8').toString() === text

const someText = fc.oneof(
  fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 40 }),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }).filter(isAllowed),
  fc.constantFrom('%', '"', '%41', '"quoted \\ text"', ' lead', 'trail ', 'café €😀', 'a,b;c'),
)

const aName = fc
  .stringMatching(/^[a-z0-9]{1,20}$/)
  .filter((name) => !['data', 'knativebrokerttl', 'schemaurl', 'dataschema', 'datacontentencoding', ...CONTEXT].includes(name))

const CONTEXT = ['id', 'source', 'type', 'subject', 'time', 'specversion', 'datacontenttype']

const aValue: fc.Arbitrary<AttributeValue> = fc.oneof(
  someText,
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.boolean(),
  fc.uint8Array({ maxLength: 20 }),
  fc.constant('line1\r\nline2\tend'),
)

const aTime = fc
  .tuple(
    fc.date({ min: new Date('0001-01-02T00:00:00Z'), max: new Date('9998-12-30T00:00:00Z'), noInvalidDate: true }),
    fc.constantFrom('Z', 'z', '+05:30', '-23:59'),
    fc.constantFrom('', '.5', '.123456789'),
  )
  .map(([date, zone, fraction]) => date.toISOString().slice(0, 19) + fraction + zone)

const jsonData = fc
  .tuple(fc.jsonValue(), fc.constantFrom('', ' ', '\n '))
  .filter(([value]) => value !== null)
  .map(([value, space]) => bytes(JSON.stringify(value, null, space) ?? '0'))

/** Content type and data that belong together, and those that do not. */
const aBody: fc.Arbitrary<{ datacontenttype: string | undefined; data: Uint8Array | null }> = fc.oneof(
  fc.record({ datacontenttype: fc.constantFrom('application/json', 'text/json; charset=utf-8', 'a/b+json'), data: jsonData }),
  fc.record({
    datacontenttype: fc.constantFrom(
      'text/plain',
      'application/xml',
      'application/octet-stream',
      'image/png',
      'application/json',
    ),
    data: fc.uint8Array({ minLength: 1, maxLength: 60 }),
  }),
  fc.record({ datacontenttype: fc.constant('text/plain'), data: someText.map(bytes) }),
  fc.record({ datacontenttype: fc.constant(undefined), data: fc.uint8Array({ minLength: 1, maxLength: 30 }) }),
  fc.record({ datacontenttype: fc.constantFrom(undefined, 'application/json'), data: fc.constant(null) }),
)

const extensions = fc
  .uniqueArray(fc.tuple(aName, aValue), { selector: ([name]) => name, maxLength: 6 })
  .map((list) => list as readonly Extension[])

/** Any valid event. A number as a whole becomes what the binding shows, see `textShape`. */
export const anEvent: fc.Arbitrary<CloudEvent> = fc
  .record({
    specversion: fc.constantFrom('1.0' as const, '0.3' as const),
    id: someText,
    source: fc.oneof(fc.webUrl(), fc.constantFrom('/a/b', '#fragment', 'urn:x:y')),
    type: someText,
    subject: fc.option(someText, { nil: undefined }),
    time: fc.option(aTime, { nil: undefined }),
    dataschema: fc.option(fc.webUrl(), { nil: undefined }),
    extensions,
    body: aBody,
  })
  .map(({ body, ...rest }) => new CloudEvent({ ...rest, ...body }))
