import { readdirSync, readFileSync } from 'node:fs'
import type { JsonValue } from '@bufbuild/protobuf'
import { describe, expect, test } from 'vitest'
import type { AttributeType, BadEvent } from '../../src/event/attributes.ts'
import { attributeOfType, checkAttributeName, isBad, isText } from '../../src/event/attributes.ts'
import type { CloudEvent } from '../../src/event/event.ts'
import { decodeBatch, decodeStructured, encodeBatch, encodeStructured } from '../../src/event/json.ts'
import { decodeProtobuf, decodeProtobufBatch, encodeProtobuf, encodeProtobufBatch } from '../../src/event/protobuf.ts'
import { bytes } from '../event/events.ts'
import { seen, wanted } from './golden-events.ts'
import { BATCH, EVENT, peerBytes } from './protobuf-peer.ts'

const suite = new URL('suites/cloudevents-format/', import.meta.url)

function read(path: string): unknown {
  // The files begin with a byte order mark.
  return JSON.parse(readFileSync(new URL(path, suite), 'utf8').replace(/^\uFEFF/, ''))
}

interface Row {
  readonly id: string
  readonly sampleId?: string
  readonly event?: unknown
  readonly batch?: unknown
  readonly validSingle?: JsonValue
  readonly validBatch?: JsonValue
  readonly invalidSingle?: JsonValue
  readonly invalidBatch?: JsonValue
}

function rows(format: string): Row[] {
  const files = ['valid-events', 'invalid-events', 'valid-batches', 'invalid-batches']
  return files.flatMap((file) => (read(`${format}/${file}.json`) as { tests: Row[] }).tests)
}

type Result = CloudEvent | CloudEvent[] | BadEvent

/** What a decoder makes of what the encoder makes of it. */
function again(result: Result, format: 'json' | 'protobuf'): Result {
  if (isBad(result)) return result
  if (format === 'json')
    return Array.isArray(result) ? decodeBatch(encodeBatch(result)) : decodeStructured(encodeStructured(result))
  return Array.isArray(result) ? decodeProtobufBatch(encodeProtobufBatch(result)) : decodeProtobuf(encodeProtobuf(result))
}

describe('the JSON format', () => {
  const all = rows('json')
  let passed = 0
  test.for(all)('$id', (row) => {
    const kind = row.batch === undefined ? 'event' : 'batch'
    const body = bytes(JSON.stringify(row.event ?? row.batch))
    const result = kind === 'event' ? decodeStructured(body) : decodeBatch(body)
    expect(seen(result)).toEqual(wanted(row.sampleId, kind))
    expect(seen(again(result, 'json'))).toEqual(wanted(row.sampleId, kind))
    passed++
  })
  test('every row was seen', () => {
    console.log(`cloudevents-format json ${passed}/${all.length}`)
    expect([passed, all.length]).toEqual([43, 43])
  })
})

describe('the protobuf format, from bytes of another library', () => {
  const all = rows('protobuf')
  let passed = 0
  test.for(all)('$id', (row) => {
    const single = row.validSingle ?? row.invalidSingle
    const kind = single === undefined ? 'batch' : 'event'
    const result =
      single === undefined
        ? decodeProtobufBatch(peerBytes(BATCH, row.validBatch ?? row.invalidBatch ?? null))
        : decodeProtobuf(peerBytes(EVENT, single))
    expect(seen(result)).toEqual(wanted(row.sampleId, kind))
    expect(seen(again(result, 'protobuf'))).toEqual(wanted(row.sampleId, kind))
    passed++
  })
  test('every row was seen', () => {
    console.log(`cloudevents-format protobuf ${passed}/${all.length}`)
    expect([passed, all.length]).toEqual([33, 33])
  })
})

describe('the documents of the Java SDK', () => {
  const documents = ['v1', 'v03'].flatMap((version) =>
    readdirSync(new URL(`sdk-java-json/${version}/`, suite)).map((name) => ({ name, path: `sdk-java-json/${version}/${name}` })),
  )
  // fail_* by its name; a name with an underscore or upper-case letters is refused by the specification.
  const refused = /^(fail_|json_data_with_ext_invalid|json_data_with_ext_upper_case)/
  let passed = 0
  test.for(documents)('$path', ({ name, path }) => {
    const result = decodeStructured(readFileSync(new URL(path, suite)))
    const document = refused.test(name) ? 'refused' : wantedOf(read(path) as Record<string, unknown>)
    expect(documentOf(result)).toEqual(document)
    expect(documentOf(again(result, 'json') as typeof result)).toEqual(document)
    passed++
  })
  test('every document was seen', () => {
    console.log(`cloudevents-format sdk-java-json ${passed}/${documents.length}`)
    expect([passed, documents.length]).toEqual([31, 31])
  })
})

/** Attributes by name and the data as text: everything the event has. */
function documentOf(result: CloudEvent | BadEvent): unknown {
  if (isBad(result)) return 'refused'
  const { specversion, id, source, type, subject, time, datacontenttype, dataschema, data } = result
  const schema = { [specversion === '0.3' ? 'schemaurl' : 'dataschema']: dataschema }
  const attributes = { specversion, id, source, type, subject, time, datacontenttype, ...schema }
  const extensions = Object.fromEntries(result.extensions)
  return { ...attributes, ...extensions, data: data === null ? undefined : Buffer.from(data).toString() }
}

/** The same of the document by JSON.parse; nulls are as good as absent. */
function wantedOf(document: Record<string, unknown>): unknown {
  const { data, data_base64: base64, datacontentencoding: encoding, ...attributes } = document
  const given = Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== null))
  const encoded = encoding === 'base64' ? data : base64
  if (typeof encoded === 'string') return { ...given, data: Buffer.from(encoded, 'base64').toString() }
  return { ...given, data: data === undefined || typeof data === 'string' ? data : JSON.stringify(data) }
}

interface Value {
  readonly text: string
  readonly why?: string
  readonly disputed?: string
}

/** The attribute of an event that has the type, so that the row is also seen through a whole event. */
const WHERE: Partial<Record<AttributeType, string>> = { Timestamp: 'time', String: 'ext', URI: 'dataschema' }

describe('the values of attributes', () => {
  const file = read('attribute-values.json') as Record<string, { valid: (string | Value)[]; invalid: Value[] }>
  const extensionName = file['extensionName'] as unknown as { valid: string[]; invalid: string[] }
  const types: AttributeType[] = ['Timestamp', 'Integer', 'Boolean', 'String', 'Binary', 'URI', 'URI-reference']
  const values = types.flatMap((type) => {
    const valid = (file[type]?.valid ?? []).map((row) => ({
      type,
      valid: true,
      ...(typeof row === 'string' ? { text: row } : row),
    }))
    return [...valid, ...(file[type]?.invalid ?? []).map((row) => ({ type, valid: false, ...row }))]
  })
  const disputed = values.filter((row) => row.disputed !== undefined).map((row) => row.text)
  const broken = (file['String'] as unknown as { invalidUtf16: number[][] }).invalidUtf16
  let passed = 0

  test.for(values.filter((row) => row.disputed === undefined))('$type $valid "$text"', ({ type, valid, text }) => {
    expect(attributeOfType(type, text) !== undefined).toBe(valid)
    const name = WHERE[type]
    const refused = name === undefined ? !valid : isBad(structured({ [name]: text }))
    expect(refused).toBe(!valid)
    passed++
  })
  test.for(broken.map((units) => ({ units })))('broken UTF-16 $units', ({ units }) => {
    expect(isText(String.fromCharCode(...units))).toBe(false)
    passed++
  })
  test.for(extensionName.valid.map((name) => ({ name })))('extension name "$name"', ({ name }) => {
    expect(checkAttributeName(name)).toBeNull()
    passed++
  })
  test.for(extensionName.invalid.map((name) => ({ name })))('no extension name "$name"', ({ name }) => {
    expect(checkAttributeName(name)).toEqual(expect.any(String))
    passed++
  })
  test('every row was seen', () => {
    const rows = values.length + broken.length + extensionName.valid.length + extensionName.invalid.length
    console.log(`cloudevents-format attribute-values ${passed}/${rows - disputed.length} (${disputed.length} disputed aside)`)
    expect(disputed).toEqual(['2021-01-18T14:52:01+14:01', '2021-01-18T14:52:01-14:01', '2021-01-18T14:00:60Z'])
    expect([passed, rows]).toEqual([127, 130])
  })
})

function structured(more: Record<string, string>): ReturnType<typeof decodeStructured> {
  return decodeStructured(bytes(JSON.stringify({ specversion: '1.0', id: '1', source: '/s', type: 't', ...more })))
}
