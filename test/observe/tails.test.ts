import { describe, expect, test } from 'vitest'
import { SILENT_DELIVERY } from '../../src/contract/delivery.ts'
import { CloudEvent } from '../../src/event/event.ts'
import { createTails, type Tails } from '../../src/observe/tails.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { until } from '../until.ts'

const NAMES = {
  sub: (id: number) => `trigger/default/t${id}`,
  target: () => '',
  stream: (id: number) => `broker/default/b${id}`,
  ingress: () => '',
  service: () => '',
}
const eventOf = (id: string, bytes = 0): CloudEvent =>
  new CloudEvent({ id, source: '/s', type: 't', ...(bytes > 0 ? { data: new Uint8Array(bytes) } : {}) })
const all = (_e: CloudEvent): boolean => true

interface Line {
  readonly following?: string[]
  readonly dropped?: number
  readonly where: string
  readonly event: { readonly id: string }
}

/** Reads as fast as lines come. */
function read(tails: Tails, keys: string[], matches = all): { lines: Line[]; stop: () => void; ended: Promise<void> } {
  const lines: Line[] = []
  const gone = new AbortController()
  const ended = (async () => {
    for await (const text of tails.follow(keys, matches, gone.signal))
      for (const line of text.trimEnd().split('\n')) lines.push(JSON.parse(line) as Line)
  })()
  return { lines, stop: () => gone.abort(), ended }
}
const append = (tails: Tails, stream: number, ...events: CloudEvent[]): void =>
  tails.observer.appended(stream, events.length, 0, 0, events)

describe('tails', () => {
  test('a follower gets what is appended to its stream, or matched by its subscription, and nothing else', async () => {
    const tails = createTails({ names: NAMES, clock: systemClock })
    const stream = read(tails, ['broker/default/b1'], (e) => e.id !== 'not-this')
    const subscription = read(tails, ['trigger/default/t7'])
    await until('both follow', () => stream.lines.length === 1 && subscription.lines.length === 1)
    expect(stream.lines[0]).toEqual({ following: ['broker/default/b1'] })
    append(tails, 1, eventOf('a'), eventOf('not-this'), eventOf('b'))
    append(tails, 2, eventOf('elsewhere'))
    tails.observer.matched({ ...SILENT_DELIVERY, sub: 7, event: eventOf('c') })
    tails.observer.matched({ ...SILENT_DELIVERY, sub: 8, event: eventOf('d') })
    await until('lines arrive', () => stream.lines.length === 3 && subscription.lines.length === 2)
    expect(stream.lines.slice(1).map((l) => [l.where, l.event.id])).toEqual([
      ['broker/default/b1', 'a'],
      ['broker/default/b1', 'b'],
    ])
    expect(subscription.lines[1]?.event).toEqual({ specversion: '1.0', id: 'c', source: '/s', type: 't' })
    for (const one of [stream, subscription]) one.stop()
    await Promise.all([stream.ended, subscription.ended])
    expect(tails.followers).toBe(0)
  })

  test('who does not read is sent no more than the queue holds, and is told how many were dropped', async () => {
    const tails = createTails({ names: NAMES, clock: systemClock })
    const gone = new AbortController()
    const lazy = tails.follow(['broker/default/b1'], all, gone.signal)
    await lazy.next()
    const next = lazy.next()
    append(tails, 1, ...Array.from({ length: 5_000 }, (_, i) => eventOf(`e${i}`)))
    let text = String((await next).value)
    while (!text.includes('dropped')) text += String((await lazy.next()).value)
    const lines = text
      .trimEnd()
      .split('\n')
      .map((l) => JSON.parse(l) as Line)
    const told = lines.filter((l) => l.dropped !== undefined).reduce((n, l) => n + (l.dropped ?? 0), 0)
    while (lines.length < 1_001) {
      const more = String((await lazy.next()).value)
      lines.push(
        ...more
          .trimEnd()
          .split('\n')
          .map((l) => JSON.parse(l) as Line),
      )
    }
    expect(told).toBe(4_000)
    expect(lines.filter((l) => l.dropped === undefined).map((l) => l.event.id)).toEqual(
      Array.from({ length: 1_000 }, (_, i) => `e${i}`),
    )
    gone.abort()
    expect((await lazy.next()).done).toBe(true)
  })

  test('the queue is bounded in bytes too', async () => {
    const tails = createTails({ names: NAMES, clock: systemClock })
    const gone = new AbortController()
    const lazy = tails.follow(['broker/default/b1'], () => false, gone.signal)
    await lazy.next()
    const next = lazy.next()
    append(tails, 1, ...Array.from({ length: 12 }, (_, i) => eventOf(`e${i}`, 1 << 20)))
    expect(JSON.parse(String((await next).value))).toEqual({ dropped: 4 })
    gone.abort()
    await lazy.return(undefined)
  })

  test('at most sixteen follow; one that has gone makes room', async () => {
    const tails = createTails({ names: NAMES, clock: systemClock })
    const many = Array.from({ length: 16 }, () => read(tails, ['broker/default/b1']))
    await until('all follow', () => tails.followers === 16)
    expect(() => tails.follow(['broker/default/b1'], all, new AbortController().signal)).toThrow(/at most 16/)
    many[0]?.stop()
    await many[0]?.ended
    const late = read(tails, ['broker/default/b1'])
    await until('it follows', () => late.lines.length === 1)
    for (const one of [...many, late]) one.stop()
    await Promise.all([...many, late].map((m) => m.ended))
  })
})
