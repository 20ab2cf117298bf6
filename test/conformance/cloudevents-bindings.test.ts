import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import type { CloudEvent } from '../../src/event/event.ts'
import { decodeHeaderValue, encodeHeaderValue } from '../../src/event/header-value.ts'
import { binaryHeaders, decodeHttp } from '../../src/event/http.ts'
import { encodeStructured, STRUCTURED_JSON } from '../../src/event/json.ts'
import { fromKafkaRecord, toKafkaRecord } from '../../src/event/kafka.ts'
import type { KafkaRecord, RawRecord } from '../../src/event/kafka.ts'
import { contentForm } from '../../src/event/media.ts'
import { bytes, headerView, pairsOf, textShape } from '../event/events.ts'
import type { Scenario, Step } from './gherkin.ts'
import { scenarios } from './gherkin.ts'

const suite = new URL('suites/cloudevents-bindings/', import.meta.url)
const text = (path: string): string => readFileSync(new URL(path, suite), 'utf8')

function oneOf(decoded: ReturnType<typeof decodeHttp>): CloudEvent {
  if (decoded.kind !== 'events') throw new Error(decoded.kind === 'bad' ? decoded.message : 'no event')
  expect(decoded.events).toHaveLength(1)
  return decoded.events[0] as CloudEvent
}

/** An event as it arrives over HTTP, in either mode. */
function throughHttp(event: CloudEvent, mode: 'binary' | 'structured'): CloudEvent {
  if (mode === 'binary') return oneOf(decodeHttp(headerView(pairsOf(binaryHeaders(event))), event.data))
  return oneOf(decodeHttp(headerView([['Content-Type', STRUCTURED_JSON]]), encodeStructured(event)))
}

function recordOf(r: KafkaRecord): RawRecord {
  return { topic: 't', partition: 0, offset: 0, timestampMs: 0, ...r }
}

describe('the scenarios of the bindings', () => {
  const all = [
    ...scenarios(text('features/http-protocol-binding.feature')),
    ...scenarios(text('features/kafka-protocol-binding.feature')),
  ]
  let passed = 0

  function parsed(scenario: Scenario): CloudEvent | null {
    const step = (start: string): Step | undefined => scenario.steps.find((s) => s.text.startsWith(start))
    const request = step('an HTTP request')
    if (request !== undefined) {
      const [head = '', ...rest] = request.doc.split('\n\n')
      const pairs = head
        .split('\n')
        .slice(1)
        .map((line) => line.split(/: (.*)/).slice(0, 2) as [string, string])
      return oneOf(decodeHttp(headerView(pairs), bytes(rest.join('\n\n'))))
    }
    const headers = (step('Kafka headers')?.table ?? []).slice(1)
    return fromKafkaRecord({
      ...recordOf({ key: null, value: bytes(step('a Kafka message')?.doc ?? ''), headers: [] }),
      headers: headers.map(([name = '', value = '']) => [bytes(name), bytes(value)]),
    })
  }

  test.for(all)('$name', (scenario) => {
    const event = parsed(scenario)
    expect(event).not.toBeNull()
    if (event === null) return
    const attributes = scenario.steps.find((s) => s.text.startsWith('the attributes are'))?.table.slice(1) ?? []
    expect(attributes).toHaveLength(6)
    for (const [name = '', value] of attributes) expect([name, event.attribute(name)]).toEqual([name, value])
    expect([event.extensions, event.subject, event.dataschema]).toEqual([[], undefined, undefined])
    const wanted = scenario.steps.find((s) => s.text.startsWith('the data is equal'))?.doc ?? ''
    expect(JSON.parse(Buffer.from(event.data ?? []).toString())).toEqual(JSON.parse(wanted))
    passed++
  })
  test('every scenario was seen', () => {
    console.log(`cloudevents-bindings scenarios ${passed}/${all.length}`)
    expect([passed, all.length]).toEqual([7, 7])
  })
})

describe('header values', () => {
  const rows = JSON.parse(text('http-header-percent-encoding.json')) as Record<
    'roundTrip' | 'decode' | 'invalid',
    { value: string; header: string }[]
  >
  let passed = 0
  const send = (header: string): ReturnType<typeof decodeHttp> => {
    const required = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' }
    return decodeHttp(headerView([...Object.entries(required), ['ce-myext', header]]), null)
  }

  test.for(rows.roundTrip)('$value ↔ $header', ({ value, header }) => {
    expect(encodeHeaderValue(value)).toBe(header)
    expect(decodeHeaderValue(header)).toBe(value)
    expect(oneOf(send(header)).attribute('myext')).toBe(value)
    passed++
  })
  test.for(rows.decode)('$header → $value', ({ value, header }) => {
    expect(decodeHeaderValue(header)).toBe(value)
    expect(oneOf(send(header)).attribute('myext')).toBe(value)
    passed++
  })
  test.for(rows.invalid)('$header is refused', ({ header }) => {
    expect(decodeHeaderValue(header)).toBeUndefined()
    expect(send(header)).toMatchObject({ kind: 'bad', code: 'ingress.bad-event', attribute: 'myext' })
    passed++
  })
  test('every row was seen', () => {
    console.log(
      `cloudevents-bindings header percent-encoding ${passed}/${rows.roundTrip.length + rows.decode.length + rows.invalid.length}`,
    )
    expect([rows.roundTrip.length, rows.decode.length, rows.invalid.length]).toEqual([7, 6, 16])
    expect(passed).toBe(29)
  })
})

describe('content types', () => {
  const rows = (JSON.parse(text('content-type-detection.json')) as { cases: { contentType: string | null; mode: string }[] })
    .cases
  let passed = 0
  test.for(rows)('$contentType is $mode', ({ contentType, mode }) => {
    expect(contentForm(contentType ?? undefined).mode).toBe(mode)
    const spelled = contentType === null ? undefined : `${contentType.toUpperCase()} ; charset=UTF-8`
    expect(contentForm(spelled).mode).toBe(mode)
    passed++
  })
  test('every row was seen', () => {
    console.log(`cloudevents-bindings content types ${passed}/${rows.length}`)
    expect([passed, rows.length]).toEqual([6, 6])
  })
})

interface YamlEvent {
  readonly Mode?: string
  readonly ContextAttributes: Readonly<Record<string, unknown>>
  readonly TransportExtensions?: Readonly<Record<string, string>>
  readonly Data?: string
}

describe('the YAML events', () => {
  const files = ['yaml/v1.yaml', 'yaml/v03.yaml', 'yaml/v1.0/v1_minimum.yaml', 'yaml/v0.3/v03_minimum.yaml']
  const events = files.flatMap((file) =>
    // The failsafe schema keeps 1.0 a text.
    parseAllDocuments(text(file), { schema: 'failsafe' }).map((d, i) => ({ name: `${file}#${i}`, event: d.toJS() as YamlEvent })),
  )
  let passed = 0

  test.for(events)('$name', ({ event }) => {
    const { Extensions: extensions = {}, ...context } = event.ContextAttributes
    const attributes = { ...(context as Record<string, string>), ...(extensions as Record<string, string>) }
    const json = /json/.test(attributes['datacontenttype'] ?? 'application/json')
    const data = event.Data ?? ''
    const wanted = (e: CloudEvent): void => {
      for (const [name, value] of Object.entries(attributes)) expect([name, e.attribute(name)]).toEqual([name, value])
      expect(e.extensions).toHaveLength(Object.keys(extensions as object).length)
      const value = (body: string): unknown => (json ? JSON.parse(body) : body)
      expect(value(Buffer.from(e.data ?? []).toString())).toEqual(value(data))
    }
    const { datacontenttype, ...others } = attributes
    const transport = Object.entries(event.TransportExtensions ?? {})
    const head = Object.entries(others).map(([name, value]) => [`ce-${name}`, encodeHeaderValue(value)] as const)
    const binary = headerView([...head, ...transport, ['content-type', datacontenttype ?? 'application/json']])
    const body = JSON.stringify({ ...attributes, data: json ? (JSON.parse(data) as unknown) : data })
    const structured = headerView([...transport, ['content-type', 'application/cloudevents+json']])
    // White space around a JSON value is no part of it, and the JSON format drops it.
    const same = (e: CloudEvent): unknown => {
      const whole = textShape(e)
      return json ? { ...whole, data: (whole['data'] as string).trim() } : whole
    }
    for (const sent of [oneOf(decodeHttp(binary, bytes(data))), oneOf(decodeHttp(structured, bytes(body)))]) {
      wanted(sent)
      for (const mode of ['binary', 'structured'] as const) {
        expect(same(throughHttp(sent, mode))).toEqual(same(sent))
      }
      const record = fromKafkaRecord(recordOf(toKafkaRecord(sent)))
      expect(record === null ? null : same(record)).toEqual(same(sent))
    }
    passed++
  })
  test('every event was seen', () => {
    console.log(`cloudevents-bindings yaml ${passed}/${events.length}`)
    expect([passed, events.length]).toEqual([15, 15])
  })
})
