import { describe, expect, test } from 'vitest'
import { openUwsServer } from '../../src/ingress/server-uws.ts'
import { DEFAULT_LIMITS } from '../../src/ingress/ingress.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { loadUws } from '../../src/vendor/uws/uws.ts'
import { until } from '../until.ts'
import { CE, openRig, post, Raw, SERVERS } from './rig.ts'

/** Longer than the 10 s and a little after which uWebSockets.js cuts by itself. */
const BEYOND_MS = 13_000
const NEVER_WHOLE = [
  'FOO\r\n\r\n',
  'POST /ns/broker HTTP/1.1\r\nHost:',
  'GET /nobody HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n',
  'GET /nobody HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n',
  `POST /ns/broker HTTP/1.1\r\nHost: x\r\n${CE}Content-Length : 3\r\n\r\nabc`,
]

/** What takes its time, side by side. */
describe.concurrent('patience', () => {
  test.each(SERVERS)('%s: a head that never gets whole, or never can, does not hold its connection for ever', async (http) => {
    const rig = await openRig(http, { limits: { headerTimeoutMs: 300 } })
    const heads = NEVER_WHOLE.map((text) => new Raw(rig.ingress.port).send(text))
    await until('the end of all', () => heads.every((h) => h.closed || h.ended || h.statuses.length > 0), 25_000)
    expect(heads.flatMap((h) => h.statuses).every((s) => s >= 400)).toBe(true)
    expect(rig.stream.appends).toEqual([])
    for (const h of heads) h.destroy()
    await rig.ingress.close()
  })

  test('uws: a slow body that our limits allow outlives the limit of the library', async () => {
    const rig = await openRig('uws', { limits: { minBytesPerS: 0 } })
    const bytes = BEYOND_MS / 500
    const raw = new Raw(rig.ingress.port).send(`POST /ns/broker HTTP/1.1\r\nHost: x\r\n${CE}Content-Length: ${bytes}\r\n\r\n`)
    const drip = setInterval(() => raw.send('x'), 500)
    await until('the answer', () => raw.statuses.length > 0 || raw.closed, 25_000)
    clearInterval(drip)
    expect(raw.statuses).toEqual([202])
    expect(rig.stream.events[0]?.data).toHaveLength(bytes)
    raw.destroy()
    await rig.ingress.close()
  })

  test('uws: a client that waits long for its answer is not cut', async () => {
    const rig = await openRig('uws')
    rig.stream.hold = true
    const raw = new Raw(rig.ingress.port).send(post('/ns/broker', 'abc'))
    await until('the append', () => rig.stream.waiting.length === 1)
    const sinceMs = performance.now()
    await until('long enough', () => raw.closed || performance.now() - sinceMs > BEYOND_MS)
    expect(raw.closed).toBe(false)
    rig.stream.waiting[0]?.({ kind: 'durable' })
    expect(await raw.answers(1)).toEqual([202])
    raw.destroy()
    await rig.ingress.close()
  })

  test('uws: a body that is held back outlives the limit of the library and arrives whole', async () => {
    const body = Buffer.alloc(4_000_000, 'abcdefg')
    const seen: Buffer[] = []
    let heldBytes = 0
    const loaded = await loadUws(DEFAULT_LIMITS.maxHeaderBytes)
    if (!('uws' in loaded)) throw new Error(loaded.absent)
    const server = await openUwsServer(loaded.uws, {
      host: '127.0.0.1',
      port: 0,
      limits: DEFAULT_LIMITS,
      clock: systemClock,
      log: SILENT_LOG,
      handler(x) {
        x.onBody((chunk, last) => {
          seen.push(Buffer.from(chunk))
          if (last) x.answer(200, [], null, false)
        })
        x.pause()
        setTimeout(() => {
          heldBytes = Buffer.concat(seen).length
          x.resume()
        }, BEYOND_MS)
      },
    })
    const raw = new Raw(server.port).send(`POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`).send(body)
    await until('the answer', () => raw.statuses.length > 0 || raw.closed, 25_000)
    expect(raw.statuses).toEqual([200])
    expect(heldBytes).toBeLessThan(body.length / 2)
    expect(Buffer.concat(seen).equals(body)).toBe(true)
    raw.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n').destroy()
    await server.close()
  })
})
