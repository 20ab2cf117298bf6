import { Buffer, isUtf8 } from 'node:buffer'
import type { ErrorCode } from '../runtime/errors.ts'
import { messageOf } from '../runtime/errors.ts'
import type { AttributeValue, CloudEvent } from './event.ts'
import { utf8Text } from './bytes.ts'
import { mediaTypeOf } from './media.ts'

/** Why something is no event. `attribute` is the one at fault, '' when it is the whole. */
export interface BadEvent {
  readonly kind: 'bad'
  readonly code: ErrorCode
  /** One sentence for the producer: value, rule, what is allowed. */
  readonly message: string
  readonly attribute: string
}

export function badEvent(attribute: string, message: string, code: ErrorCode = 'ingress.bad-event'): BadEvent {
  return { kind: 'bad', code, message, attribute }
}

/** Tells the two results of every decoder apart. */
export function isBad(result: CloudEvent | readonly CloudEvent[] | BadEvent): result is BadEvent {
  return (result as { kind?: unknown }).kind === 'bad'
}

/** Names that the specification gives a meaning of its own and that no extension may have. */
const RESERVED = new Set(['data', 'data_base64'])
const NAME = /^[a-z0-9]+$/

const MOST_NAMES = 1024
const goodNames = new Set<string>()

/** CloudEvents 1.0.2 §3: lower-case letters and digits; null = fine, else a sentence. */
export function checkAttributeName(name: string): string | null {
  // The same names come with every event; a look into the set costs a fifth of the pattern.
  if (goodNames.has(name)) return null
  const fault = faultOfName(name)
  if (fault === null && goodNames.size < MOST_NAMES) goodNames.add(name)
  return fault
}

function faultOfName(name: string): string | null {
  if (RESERVED.has(name)) return `"${name}" is the data of an event and no attribute`
  if (NAME.test(name)) return null
  if (name === '') return 'an attribute needs a name'
  return `"${shown(name)}" is no attribute name: only lower-case letters a-z and digits 0-9 are allowed`
}

/** As a value may be quoted in a message: bounded, one line. */
export function shown(value: string): string {
  const text = value.length > 80 ? `${value.slice(0, 80)}…` : value
  return JSON.stringify(text).slice(1, -1)
}

/** The type String: no control characters, no noncharacters, no lone surrogates. CloudEvents 1.0.2 §3.3 */
export function isText(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i)
    if (c < 0x20 || c > 0x7e) return isWideText(value, i)
  }
  return true
}

function isWideText(value: string, from: number): boolean {
  for (let i = from; i < value.length; i++) {
    const c = value.charCodeAt(i)
    if (c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0xfdd0 && c <= 0xfdef) || c >= 0xfffe) return false
    if (c >= 0xd800 && c <= 0xdfff) {
      const low = value.charCodeAt(i + 1)
      // Beyond the end charCodeAt is NaN, which is in no range.
      if (c > 0xdbff || !(low >= 0xdc00 && low <= 0xdfff)) return false
      if ((low & 0x3fe) === 0x3fe && (c & 0x3f) === 0x3f) return false
      i++
    }
  }
  return true
}

const BREAKS = /[\t\r\n]/g

/**
 * What an extension may hold. The type String forbids control characters, yet the published events and header tables of
 * CloudEvents carry line breaks inside extensions; they are let through beside other text, and nothing else is.
 */
export function isExtensionText(value: string): boolean {
  if (isText(value)) return true
  const rest = value.replace(BREAKS, '')
  return rest.length !== value.length && rest.trim() !== '' && isText(rest)
}

/** Two digits at `at`, -1 when they are none. */
function two(text: string, at: number): number {
  const high = text.charCodeAt(at) - 48
  const low = text.charCodeAt(at + 1) - 48
  return high >= 0 && high <= 9 && low >= 0 && low <= 9 ? high * 10 + low : -1
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** RFC 3339 §5.6 `date-time`, leap seconds and every offset up to 23:59 included; by hand because it runs once an event. */
export function isTimestamp(text: string): boolean {
  const year = two(text, 0) * 100 + two(text, 2)
  const month = two(text, 5)
  const day = two(text, 8)
  if (two(text, 0) < 0 || two(text, 2) < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return false
  const t = text.charCodeAt(10)
  if (text.charCodeAt(4) !== 0x2d || text.charCodeAt(7) !== 0x2d || (t !== 0x54 && t !== 0x74)) return false
  const hour = two(text, 11)
  const minute = two(text, 14)
  const second = two(text, 17)
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return false
  if (text.charCodeAt(13) !== 0x3a || text.charCodeAt(16) !== 0x3a) return false
  let i = 19
  if (text.charCodeAt(i) === 0x2e) {
    const digits = ++i
    while (text.charCodeAt(i) >= 48 && text.charCodeAt(i) <= 57) i++
    if (i === digits) return false
  }
  const zone = text.charCodeAt(i)
  if (zone === 0x5a || zone === 0x7a) return i + 1 === text.length
  if (zone !== 0x2b && zone !== 0x2d) return false
  const offsetHour = two(text, i + 1)
  const offsetMinute = two(text, i + 4)
  if (text.charCodeAt(i + 3) !== 0x3a || i + 6 !== text.length) return false
  return offsetHour >= 0 && offsetHour <= 23 && offsetMinute >= 0 && offsetMinute <= 59
}

const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*:/

/** An absolute URI, checked as far as it can matter here: a scheme, and text without white space. */
export function isUri(text: string): boolean {
  return SCHEME.test(text) && isText(text) && !text.includes(' ')
}

/** RFC 3986 allows nearly everything as a reference, the empty one included. */
export function isUriReference(text: string): boolean {
  return isText(text)
}

const INTEGER = /^-?(?:0|[1-9][0-9]{0,9})$/

/** The type Integer: 32 bits with sign. undefined = it is none. */
export function integerOf(text: string): number | undefined {
  if (!INTEGER.test(text)) return undefined
  const value = Number(text)
  // `| 0` also turns -0 into 0.
  return value === (value | 0) ? value | 0 : undefined
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** RFC 4648 with padding; undefined = it is none. */
export function base64Bytes(text: string): Uint8Array | undefined {
  // The pattern is linear, but on data of megabytes the comparison of lengths alone is far cheaper.
  if (text.length % 4 !== 0) return undefined
  if (text.length <= 4096) return BASE64.test(text) ? Buffer.from(text, 'base64') : undefined
  const bytes = Buffer.from(text, 'base64')
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  // Node skips what is no base64 and reads the URL alphabet as well: the first shows in the length.
  return bytes.length === (text.length / 4) * 3 - padding && !text.includes('-') && !text.includes('_') ? bytes : undefined
}

export type AttributeType = 'Boolean' | 'Integer' | 'String' | 'Binary' | 'URI' | 'URI-reference' | 'Timestamp'

/** The value a text stands for by the type system of CloudEvents 1.0.2 §3.3, undefined when it is no such value. */
export function attributeOfType(type: AttributeType, text: string): AttributeValue | undefined {
  switch (type) {
    case 'Boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined
    case 'Integer':
      return integerOf(text)
    case 'Binary':
      return base64Bytes(text)
    case 'String':
      return isText(text) ? text : undefined
    case 'URI':
      return isUri(text) ? text : undefined
    case 'URI-reference':
      return isUriReference(text) ? text : undefined
    case 'Timestamp':
      return isTimestamp(text) ? text : undefined
  }
}

/** What is wrong with a context attribute, null = nothing. `lenient` = from a system whose producer cannot be told (Kafka). */
export function faultOfAttribute(name: string, value: string | undefined, required: boolean, lenient: boolean): BadEvent | null {
  if (value === undefined) return required ? badEvent(name, `the attribute "${name}" is missing`) : null
  if (value === '') return badEvent(name, `the attribute "${name}" is empty`)
  if (!isText(value)) return badEvent(name, `the attribute "${name}" has characters that are no text: "${shown(value)}"`)
  if (name === 'time' && !isTimestamp(value))
    return badEvent(name, `"time" is "${shown(value)}", which is no RFC 3339 timestamp such as 2018-04-05T17:31:00Z`)
  if (lenient) return null
  if (name === 'datacontenttype' && mediaTypeOf(value) === null)
    return badEvent(name, `"datacontenttype" is "${shown(value)}", which is no media type such as application/json`)
  if (name === 'dataschema' && !isUri(value))
    return badEvent(name, `"dataschema" is "${shown(value)}", which is no absolute URI such as https://example.com/schema`)
  return null
}

/** What is wrong with an extension, null = nothing. */
export function faultOfExtension(name: string, value: AttributeValue): BadEvent | null {
  const fault = checkAttributeName(name)
  if (fault !== null) return badEvent(name, fault)
  if (typeof value === 'number' && value !== (value | 0))
    return badEvent(name, `"${name}" is ${value}, but integers of events are whole and have 32 bits`)
  if (typeof value === 'string' && !isExtensionText(value))
    return badEvent(name, `the attribute "${name}" has characters that are no text: "${shown(value)}"`)
  return null
}

/** For events that were made in code: the rules every decoder applies. null = a valid event. */
export function checkEvent(e: CloudEvent): BadEvent | null {
  const old = e.specversion === '0.3'
  let fault =
    faultOfAttribute('id', e.id, true, false) ??
    faultOfAttribute('source', e.source, true, false) ??
    faultOfAttribute('type', e.type, true, false) ??
    faultOfAttribute('subject', e.subject, false, false) ??
    faultOfAttribute('time', e.time, false, false) ??
    faultOfAttribute('datacontenttype', e.datacontenttype, false, false) ??
    faultOfAttribute(old ? 'schemaurl' : 'dataschema', e.dataschema, false, false)
  for (const [name, value] of e.extensions) fault ??= faultOfExtension(name, value)
  return fault
}

/**
 * The JSON value of the data, parsed at most once an event however many filters look at it. The content type is not asked:
 * plain Kafka records carry JSON without saying so.
 */
export function dataAsJson(e: CloudEvent): { readonly value: unknown } | { readonly error: string } {
  return (e.parsed ??= parseData(e.data))
}

function parseData(data: Uint8Array | null): { readonly value: unknown } | { readonly error: string } {
  if (data === null || data.length === 0) return { error: 'the event has no data' }
  if (!isUtf8(data)) return { error: 'the data is no JSON: it is not UTF-8' }
  try {
    return { value: JSON.parse(utf8Text(data)) as unknown }
  } catch (e) {
    return { error: `the data is no JSON: ${messageOf(e)}` }
  }
}
