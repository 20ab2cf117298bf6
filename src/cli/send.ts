import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { checkAttributeName } from '../event/attributes.ts'
import { CloudEvent, type CloudEventFields } from '../event/event.ts'
import { binaryHead } from '../event/http.ts'
import { BATCH_JSON, encodeBatch, encodeStructured, STRUCTURED_JSON } from '../event/json.ts'
import { systemClock } from '../runtime/clock.ts'
import { Fault, messageOf } from '../runtime/errors.ts'
import { createDeadlines } from '../sender/deadlines.ts'
import { createOwnLane } from '../sender/lane/own-lane.ts'
import { createUndiciLane } from '../sender/undici-lane.ts'
import { OUTPUT_OPTION, print, wantsJson } from './client.ts'
import { numberFrom, type Command, type Parsed } from './command.ts'
import { runLoad, type LoadResult, type Shot } from './load.ts'

const MODES = ['binary', 'structured', 'batch']

export const send: Command = {
  name: 'send',
  about: 'Sends events to a URL: one, or a load of them with rate, count and concurrency. Exit code 1 when one was not taken.',
  usage: 'URL',
  options: {
    type: { type: 'string', value: 'TYPE', about: 'event type', default: 'com.example.sent' },
    source: { type: 'string', value: 'URI', about: 'event source', default: '/sluice/send' },
    id: { type: 'string', value: 'ID', about: 'event id; with more than one event its beginning (default random)' },
    subject: { type: 'string', value: 'TEXT', about: 'event subject' },
    attribute: { type: 'list', short: 'a', value: 'NAME=VALUE', about: 'an extension attribute; may be repeated' },
    header: { type: 'list', short: 'H', value: 'NAME: VALUE', about: 'an HTTP header; may be repeated' },
    data: { type: 'string', short: 'd', value: 'TEXT', about: 'event data, @FILE reads a file', default: '{"hello":"world"}' },
    'content-type': { type: 'string', value: 'TYPE', about: 'type of the data', default: 'application/json' },
    size: { type: 'string', value: 'BYTES', about: 'random text data of that size instead of --data' },
    mode: { type: 'string', value: MODES.join('|'), about: 'content mode', default: 'binary' },
    'batch-size': { type: 'string', value: 'N', about: 'events in a batch', default: '100' },
    count: { type: 'string', short: 'n', value: 'N', about: 'requests in all, 0 = until Ctrl-C', default: '1' },
    rate: { type: 'string', short: 'r', value: 'N', about: 'requests a second, 0 = as fast as answers come', default: '0' },
    concurrency: { type: 'string', short: 'c', value: 'N', about: 'requests under way at once', default: '16' },
    quiet: { type: 'boolean', short: 'q', about: 'no progress' },
    ...OUTPUT_OPTION,
  },
  run: sendEvents,
}

async function sendEvents(args: Parsed): Promise<number> {
  const url = urlFrom(args.words)
  const lane =
    url.protocol === 'https:' ? createUndiciLane(systemClock) : createOwnLane(systemClock, createDeadlines(systemClock))
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  const result = await runLoad(
    lane,
    {
      origin: {
        protocol: url.protocol === 'https:' ? 'https:' : 'http:',
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port),
        caCerts: '',
      },
      path: url.pathname + url.search,
      ratePerS: numberFrom(args.text('rate'), 'rate'),
      count: numberFrom(args.text('count'), 'count'),
      concurrency: numberFrom(args.text('concurrency'), 'concurrency', 1),
      shot: shotsFrom(args, url),
    },
    stop.signal,
    (p) => {
      if (!args.flag('quiet')) process.stderr.write(`${p.sent} sent, ${p.answered} answered, ${p.failed} failed\n`)
    },
  )
  lane.close()
  const summary = summaryOf(result)
  if (wantsJson(args)) print(summary)
  else process.stdout.write(textOf(summary))
  return result.requests > 0 && summary.failed === 0 ? 0 : 1
}

function urlFrom(words: readonly string[]): URL {
  const [text] = words
  if (text === undefined) throw new Fault('config.usage', 'send needs a URL, e.g. http://127.0.0.1:8080/default/default')
  try {
    const url = new URL(/^https?:\/\//.test(text) ? text : `http://${text}`)
    return url
  } catch (e) {
    throw new Fault('config.usage', `"${text}" is no URL`, e)
  }
}

/** Makes the requests: everything that does not differ between them is made once. */
function shotsFrom(args: Parsed, url: URL): (serial: number) => Shot {
  const mode = args.text('mode')
  if (!MODES.includes(mode)) throw new Fault('config.usage', `--mode is "${mode}"; allowed are ${MODES.join(', ')}`)
  const batchSize = numberFrom(args.text('batch-size'), 'batch-size', 1)
  const fields = fieldsFrom(args)
  const single = args.text('count') === '1' && mode !== 'batch'
  const given = args.text('id')
  const prefix = given === '' ? randomUUID() : given
  const eventOf = (n: number): CloudEvent =>
    new CloudEvent({ ...fields, id: single ? prefix : `${prefix}-${n}`, time: new Date().toISOString() })
  const common = `POST ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\n${args.list('header').map(headerLine).join('')}`
  return (serial) => {
    if (mode === 'batch') {
      const events = Array.from({ length: batchSize }, (_, i) => eventOf(serial * batchSize + i))
      return { head: `${common}content-type: ${BATCH_JSON}\r\n`, body: encodeBatch(events), events: batchSize }
    }
    const event = eventOf(serial)
    if (mode === 'structured')
      return { head: `${common}content-type: ${STRUCTURED_JSON}\r\n`, body: encodeStructured(event), events: 1 }
    return { head: common + binaryHead(event), body: event.data ?? new Uint8Array(0), events: 1 }
  }
}

function fieldsFrom(args: Parsed): Omit<CloudEventFields, 'id'> {
  const size = args.text('size')
  const data =
    size === ''
      ? dataFrom(args.text('data'))
      : Buffer.from(
          randomBytes(Math.ceil(numberFrom(size, 'size') / 2))
            .toString('hex')
            .slice(0, Number(size)),
        )
  const subject = args.text('subject')
  return {
    type: args.text('type'),
    source: args.text('source'),
    ...(subject === '' ? {} : { subject }),
    datacontenttype: size === '' ? args.text('content-type') : 'text/plain',
    extensions: args.list('attribute').map((pair) => {
      const [, name = '', value = ''] = /^([^=]*)=(.*)$/s.exec(pair) ?? []
      const fault = checkAttributeName(name)
      if (fault !== null) throw new Fault('config.usage', `--attribute "${pair}": ${fault}`)
      return [name, value] as const
    }),
    data,
  }
}

function dataFrom(text: string): Uint8Array {
  if (!text.startsWith('@')) return Buffer.from(text)
  try {
    return readFileSync(text.slice(1))
  } catch (e) {
    throw new Fault('config.usage', `cannot read --data: ${messageOf(e)}`, e)
  }
}

function headerLine(text: string): string {
  const [, name = '', value = ''] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):\s*([\t\x20-\x7E]*)$/.exec(text) ?? []
  if (name === '') throw new Fault('config.usage', `--header "${text}" is no "Name: value"`)
  return `${name}: ${value}\r\n`
}

interface Summary {
  readonly requests: number
  readonly events: number
  readonly failed: number
  readonly seconds: number
  readonly requestsPerS: number
  readonly eventsPerS: number
  readonly latencyMs: Readonly<Record<'p50' | 'p90' | 'p95' | 'p99' | 'p999' | 'max', number>>
  readonly statuses: Readonly<Record<string, number>>
  readonly failures: Readonly<Record<string, number>>
}

function summaryOf(r: LoadResult): Summary {
  const at = (q: number): number =>
    Math.round((r.latencies[Math.min(r.latencies.length - 1, Math.floor(r.latencies.length * q))] ?? 0) * 1_000) / 1_000
  return {
    requests: r.requests,
    events: r.events,
    failed: [...r.failures.values()].reduce((a, b) => a + b, 0),
    seconds: Math.round(r.seconds * 1_000) / 1_000,
    requestsPerS: Math.round(r.requests / r.seconds),
    eventsPerS: Math.round(r.events / r.seconds),
    latencyMs: { p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99), p999: at(0.999), max: at(1) },
    statuses: Object.fromEntries(r.statuses),
    failures: Object.fromEntries(r.failures),
  }
}

function textOf(s: Summary): string {
  const { latencyMs: l } = s
  return [
    `requests     ${s.requests} in ${s.seconds} s, ${s.requestsPerS}/s`,
    `events taken ${s.events}, ${s.eventsPerS}/s`,
    `latency      p50 ${l.p50} ms, p90 ${l.p90} ms, p95 ${l.p95} ms, p99 ${l.p99} ms, p99.9 ${l.p999} ms, most ${l.max} ms`,
    `status       ${Object.entries(s.statuses)
      .map(([status, n]) => `${status === '0' ? 'none' : status}: ${n}`)
      .join(', ')}`,
    ...Object.entries(s.failures).map(([why, n]) => `failed       ${n} × ${why}`),
    '',
  ].join('\n')
}
