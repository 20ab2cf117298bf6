import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/runtime/random.ts'
import { LIMITS, type AnswerHead, type Exchange } from '../../../src/sender/exchange.ts'
import { BROKEN, MORE } from '../../../src/sender/lane/chunked-body.ts'
import { ResponseParser } from '../../../src/sender/lane/response-parser.ts'

interface Read {
  status: number
  headers: string[]
  claimsEvent: boolean
  retryAfter: string
  body: string
  trailers: readonly string[]
  /** 'whole' and how many bytes were not part of it, 'more', 'broken', 'closed' when the close made it whole. */
  end: string
  reusable: boolean
}

/** Reads `text` cut at `cuts`; every piece stands at another place of a buffer that is overwritten afterwards. */
function read(text: Buffer, cuts: readonly number[], bodiless = false): Read {
  const parser = new ResponseParser()
  const seen: Read = {
    status: 0,
    headers: [],
    claimsEvent: false,
    retryAfter: '',
    body: '',
    trailers: [],
    end: 'more',
    reusable: false,
  }
  const x = {
    head(h: AnswerHead) {
      seen.status = h.status
      seen.headers = h.list()
      seen.claimsEvent = h.claimsEvent
      seen.retryAfter = h.retryAfter()
    },
    data(b: Uint8Array, from: number, to: number) {
      seen.body += Buffer.from(b.subarray(from, to)).toString('latin1')
    },
  } as Partial<Exchange> as Exchange
  parser.begin(bodiless)
  const scratch = Buffer.alloc(text.length + 64)
  let at = 0
  for (const cut of [...cuts, text.length]) {
    const offset = at % 7
    scratch.fill(0xff)
    text.copy(scratch, offset, at, cut)
    const end = parser.read(scratch, offset, offset + cut - at, x)
    if (end === BROKEN) return { ...seen, body: '', end: 'broken' }
    if (end !== MORE) {
      return {
        ...seen,
        trailers: parser.trailers,
        end: `whole, ${text.length - at - (end - offset)} left`,
        reusable: parser.keepAlive,
      }
    }
    at = cut
  }
  return { ...seen, end: parser.closed() ? 'closed' : 'more' }
}

const EVENT_HEADERS = 'ce-id: 1\r\nCE-Source:/a \r\nRetry-After: \t 5 \r\nContent-Type: text/plain\r\n'
const SAMPLES: readonly (readonly [name: string, text: string, expected: Partial<Read>])[] = [
  [
    'counted',
    `HTTP/1.1 200 OK\r\n${EVENT_HEADERS}Content-Length: 5\r\n\r\nhello`,
    { status: 200, body: 'hello', end: 'whole, 0 left', claimsEvent: true, retryAfter: '5', reusable: true },
  ],
  [
    'counted, no bytes',
    'HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n',
    { status: 202, body: '', end: 'whole, 0 left', claimsEvent: false, reusable: true },
  ],
  ['junk behind', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP', { body: 'ok', end: 'whole, 4 left' }],
  [
    'interim answers first',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
    { status: 204, end: 'whole, 0 left', reusable: true },
  ],
  [
    'chunked',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n00a;x="y z"\r\n0123456789\r\n0\r\nX-T: 1\r\ny-t:2\r\n\r\n',
    { body: 'a0123456789', trailers: ['x-t', '1', 'y-t', '2'], end: 'whole, 0 left', reusable: true },
  ],
  [
    'chunked, junk behind',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nxy',
    { body: '', end: 'whole, 2 left' },
  ],
  ['until close', 'HTTP/1.1 200 OK\r\nX: y\r\n\r\nall of it', { body: 'all of it', end: 'closed' }],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx', { body: 'x', end: 'whole, 0 left', reusable: false }],
  ['HTTP/1.0 kept', 'HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx', { reusable: true }],
  [
    'close wins over keep-alive',
    'HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx',
    { reusable: false, end: 'whole, 0 left' },
  ],
  [
    '304 with a length',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n',
    { status: 304, end: 'whole, 0 left', reusable: false },
  ],
  ['101', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n', { status: 101, end: 'whole, 0 left', reusable: false }],
  ['no reason', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', { status: 200, end: 'whole, 0 left' }],
  ['a status beyond the known', 'HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n', { status: 799, end: 'whole, 0 left' }],
  [
    'obs-text in a value',
    'HTTP/1.1 200 OK\r\nX: \xe9\r\nContent-Length: 0\r\n\r\n',
    { headers: ['x', 'é', 'content-length', '0'], end: 'whole, 0 left' },
  ],
  [
    'structured type',
    'HTTP/1.1 200 OK\r\nContent-Type: Application/CloudEvents+json\r\nContent-Length: 2\r\n\r\n{}',
    { claimsEvent: true },
  ],
  [
    'another type',
    'HTTP/1.1 200 OK\r\nContent-Type: application/cloudevent\r\nContent-Length: 0\r\n\r\n',
    { claimsEvent: false },
  ],
  ['cut in the head', 'HTTP/1.1 200 OK\r\nContent-Le', { end: 'more', status: 0 }],
  ['cut in the body', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab', { end: 'more', body: 'ab' }],
]

const BAD: readonly (readonly [name: string, text: string])[] = [
  ['bare line feeds', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
  ['a bare line feed in the head', 'HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n'],
  ['a bare carriage return', 'HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n'],
  ['a folded header', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n'],
  ['an empty name', 'HTTP/1.1 200 OK\r\n: b\r\n\r\n'],
  ['a leading empty line', '\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['lower-case http', 'http/1.1 200 OK\r\n\r\n'],
  ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n'],
  ['status 099', 'HTTP/1.1 099 X\r\n\r\n'],
  ['a status of four digits', 'HTTP/1.1 2000 X\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx'],
  ['a list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx'],
  ['an empty length', 'HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n'],
  ['a length with a sign', 'HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx'],
  ['a huge length', 'HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n'],
  ['length and chunked', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['gzip, chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
  ['chunked twice', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['a chunk without a size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n'],
  ['a negative chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n'],
  ['a chunk size without end', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000'],
  ['a bare line feed after a size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n'],
  [
    'an endless chunk extension',
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;${'e'.repeat(LIMITS.chunkLineBytes + 1)}`,
  ],
  ['a malformed trailer', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n'],
  ['a bare line feed in the trailers', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\nC: d\r\n\r\n'],
  ['endless trailers', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${'A: b\r\n'.repeat(2_000)}`],
  ['33 interim answers', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(33)],
]

describe('the same answer however it is cut', () => {
  test.each(SAMPLES)('%s', (_name, text, expected) => {
    const bytes = Buffer.from(text, 'latin1')
    const whole = read(bytes, [])
    expect(whole).toMatchObject(expected)
    for (let cut = 1; cut < bytes.length; cut++) expect(withoutLeft(read(bytes, [cut]), cut)).toEqual(withoutLeft(whole, cut))
    expect(read(bytes, singles(bytes.length)).body).toBe(whole.body)
    expect(read(bytes, singles(bytes.length)).end).toBe(whole.end)
  })

  test.each(BAD)('malformed: %s', (_name, text) => {
    const bytes = Buffer.from(text, 'latin1')
    expect(read(bytes, []).end).toBe('broken')
    expect(read(bytes, singles(bytes.length)).end).toBe('broken')
    for (let cut = 1; cut < Math.min(bytes.length, 300); cut++) expect(read(bytes, [cut]).end).toBe('broken')
  })

  test('random damage and random cuts: never an exception, one result for all cuts', () => {
    const random = seededRandom(20_261_101)
    const pick = (n: number): number => Math.floor(random.next() * n)
    const spices = ['\r', '\n', '\r\n', ':', ' ', '0', 'f', ';', '\0', ',', 'chunked', 'HTTP/1.1 ']
    const ends = new Map<string, number>()
    for (let round = 0; round < 3_000; round++) {
      let text = SAMPLES[pick(SAMPLES.length)]?.[1] ?? ''
      for (let damage = pick(3); damage > 0; damage--) {
        const at = pick(text.length)
        text = text.slice(0, at) + (spices[pick(spices.length)] ?? '') + text.slice(at + pick(3))
      }
      const bytes = Buffer.from(text, 'latin1')
      const whole = read(bytes, [])
      ends.set(whole.end.split(',')[0] ?? '', (ends.get(whole.end.split(',')[0] ?? '') ?? 0) + 1)
      const variants = [singles(bytes.length), ...Array.from({ length: 4 }, () => randomCuts(bytes.length, pick))]
      for (const cuts of variants) {
        const cut = read(bytes, cuts)
        expect([text, cut.end.replace(/\d+ left/, ''), cut.body, cut.status]).toEqual([
          text,
          whole.end.replace(/\d+ left/, ''),
          whole.body,
          whole.status,
        ])
      }
    }
    // The fuzz is worth something only if it meets every end.
    for (const end of ['whole', 'broken', 'more', 'closed']) expect(ends.get(end) ?? 0).toBeGreaterThan(20)
  })
})

test('a head may be as long as the limit and no longer', () => {
  const head = (bytes: number): Buffer => {
    const start = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: '
    return Buffer.from(`${start}${'y'.repeat(bytes - start.length - 4)}\r\n\r\n`)
  }
  for (const cuts of [[], [30_000], singles(60_000)]) {
    expect(read(head(LIMITS.headBytes), cuts).end).toBe('whole, 0 left')
    expect(read(head(LIMITS.headBytes + 5), cuts).end).toBe('broken')
  }
})

test('an answer to HEAD has no body whatever it says', () => {
  const text = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n')
  expect(read(text, [], true)).toMatchObject({ end: 'whole, 0 left', body: '', reusable: true })
})

test('one parser reads one answer after the other, and forgets the last', () => {
  const parser = new ResponseParser()
  const heads: string[][] = []
  const x = { head: (h: AnswerHead) => void heads.push(h.list()), data() {} } as Partial<Exchange> as Exchange
  const first = Buffer.from(
    'HTTP/1.1 503 X\r\nRetry-After: 3\r\nKeep-Alive: timeout=9\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n',
  )
  parser.begin(false)
  expect(parser.read(first, 0, first.length, x)).toBe(first.length)
  expect([parser.keepAlive, parser.keepAliveMs, parser.trailers]).toEqual([false, 9_000, ['a', 'b']])
  const second = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  parser.begin(false)
  expect(parser.read(second, 0, second.length, x)).toBe(second.length)
  expect([parser.keepAlive, parser.keepAliveMs, parser.trailers, parser.retryAfter()]).toEqual([true, -1, [], ''])
  expect(heads[1]).toEqual(['content-length', '0'])
})

function singles(n: number): number[] {
  return Array.from({ length: Math.max(0, n - 1) }, (_, i) => i + 1)
}

function randomCuts(n: number, pick: (n: number) => number): number[] {
  return Array.from({ length: 1 + pick(5) }, () => pick(n)).sort((a, b) => a - b)
}

/** What is left behind an answer is counted from what had come: a cut before its end changes nothing, one behind it does. */
function withoutLeft(r: Read, _cut: number): Read {
  return { ...r, end: r.end.replace(/\d+ left/, 'left') }
}
