import type { Attempt, Origin } from '../contract/target.ts'
import type { Envelope } from '../event/event.ts'
import { binaryHead } from '../event/http.ts'

/** Paths of one origin whose head is remembered; then the memory starts anew. */
const MOST_PATHS = 1_024

/** Header values as RFC 9110 §5.5 lets them be. What is over U+00FF must never get here: latin1 would cut it to a CR. */
const UNFIT_VALUE = /[^\t\x20-\x7e\x80-\xff]/
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const UNFIT_PATH = /[^\x21-\x7e]|#/
const FIT_HOST = /^[\w.~%!$&'()*+,;=:[\]-]+$/

/** What the sender writes itself: nobody else may. */
const OWN = new Set([
  'host',
  'content-length',
  'content-type',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'proxy-connection',
  'upgrade',
  'te',
  'trailer',
  'expect',
])

/** `Host` for an origin: brackets around IPv6, no default port. */
export function hostOf(o: Origin): string {
  const host = o.host.includes(':') && !o.host.startsWith('[') ? `[${o.host}]` : o.host
  return o.port === (o.protocol === 'https:' ? 443 : 80) ? host : `${host}:${o.port}`
}

/** A path that can stand in a request line whatever it was: it begins with a slash and what does not fit is percent-encoded. */
export function fitPath(path: string): string {
  const rooted = path.startsWith('/') ? path : `/${path}`
  if (!UNFIT_PATH.test(rooted)) return rooted
  const bytes = Buffer.from(rooted.split('#', 1)[0] ?? '/', 'utf8')
  let text = ''
  for (const b of bytes)
    text += b > 0x20 && b < 0x7f ? String.fromCharCode(b) : `%${b.toString(16).toUpperCase().padStart(2, '0')}`
  return text
}

export function isToken(name: string): boolean {
  return TOKEN.test(name)
}

/** A value that may be written as latin1: outer blanks off, wider characters as UTF-8; null = it holds control characters. */
export function fitValue(value: string): string | null {
  if (!UNFIT_VALUE.test(value)) return value
  const text = Buffer.from(value.trim(), 'utf8').toString('latin1')
  return UNFIT_VALUE.test(text) ? null : text
}

/** Why the attempt's own headers cannot be sent, '' = they can. The value is never part of it: it may be a secret. */
export function unfitHeader(headers: readonly string[], host: string): string {
  if (host !== '' && !FIT_HOST.test(host)) return `the Host header ${JSON.stringify(host)} is no host name`
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (!TOKEN.test(name)) return `a header cannot be called ${JSON.stringify(name)}`
    if (fitValue(headers[i + 1] ?? '') === null) {
      return `the value of the header ${name} holds a control character: correct it where it comes from (a Secret?)`
    }
  }
  return ''
}

interface Opening {
  readonly host: string
  readonly namespace: string
  readonly wantsReply: boolean
  readonly text: string
}

/** Writes the heads of attempts; the part that is the same for every event of a target is put together once. */
export class RequestHeads {
  readonly #origins = new WeakMap<Origin, Map<string, Opening>>()

  /** Request line and headers of one attempt, without Content-Length and the empty line. `path` is a fit one. */
  ofAttempt(origin: Origin, path: string, host: string, a: Attempt): string {
    let text = this.#opening(origin, path, givenHost(a.headers) ?? host, a)
    const envelope = a.event.envelope
    if (a.headers.length > 0) text += given(a.headers)
    if (envelope.traceparent !== '' || envelope.headers.length > 0) text += passedOn(envelope, a.headers)
    if (a.batch !== undefined) return text + 'content-type: application/cloudevents-batch+json; charset=utf-8\r\n'
    return text + (a.structured ? 'content-type: application/cloudevents+json; charset=utf-8\r\n' : binaryHead(a.event))
  }

  #opening(origin: Origin, path: string, host: string, a: Attempt): string {
    let paths = this.#origins.get(origin)
    if (paths === undefined) this.#origins.set(origin, (paths = new Map()))
    const known = paths.get(path)
    if (known !== undefined && known.host === host && known.namespace === a.namespace && known.wantsReply === a.wantsReply) {
      return known.text
    }
    let text = `POST ${path} HTTP/1.1\r\nhost: ${host === '' ? hostOf(origin) : host}\r\n`
    if (a.wantsReply) text += 'prefer: reply\r\n'
    if (origin.hop !== undefined) text += `sluice-hop: ${origin.hop}\r\n`
    const namespace = fitValue(a.namespace)
    if (namespace) text += `kn-namespace: ${namespace}\r\n`
    if (paths.size >= MOST_PATHS) paths.clear()
    paths.set(path, { host, namespace: a.namespace, wantsReply: a.wantsReply, text })
    return text
  }
}

function givenHost(headers: readonly string[]): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (name.length === 4 && name.toLowerCase() === 'host') return headers[i + 1]
  }
  return undefined
}

/** The attempt's own headers; what the sender writes itself is left out. They were checked by `unfitHeader`. */
function given(headers: readonly string[]): string {
  let text = ''
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] ?? '').toLowerCase()
    if (!OWN.has(name) && !name.startsWith('ce-')) text += `${name}: ${fitValue(headers[i + 1] ?? '') ?? ''}\r\n`
  }
  return text
}

/** Trace context and the headers Knative passes on, as far as the attempt does not set them and they can be written. */
function passedOn(e: Envelope, over: readonly string[]): string {
  let text = ''
  if (e.traceparent !== '' && !sets(over, 'traceparent')) {
    text += line('traceparent', e.traceparent)
    if (e.tracestate !== '' && !sets(over, 'tracestate')) text += line('tracestate', e.tracestate)
  }
  for (let i = 0; i < e.headers.length; i += 2) {
    const name = e.headers[i] ?? ''
    if (TOKEN.test(name) && !OWN.has(name) && !sets(over, name)) text += line(name, e.headers[i + 1] ?? '')
  }
  return text
}

function line(name: string, value: string): string {
  const fit = fitValue(value)
  return fit === null ? '' : `${name}: ${fit}\r\n`
}

function sets(headers: readonly string[], lowerName: string): boolean {
  for (let i = 0; i < headers.length; i += 2) if (headers[i]?.toLowerCase() === lowerName) return true
  return false
}
