import { describe, expect, test } from 'vitest'
import { CloudEvent } from '../../src/event/event.ts'
import { createEventTypes, type EventTypes } from '../../src/observe/event-types.ts'
import type { Log } from '../../src/runtime/log.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'

const KEYS = ['broker/default/a', 'broker/default/b']

interface Set {
  readonly types: EventTypes
  readonly clock: VirtualClock
  readonly saved: string[]
  readonly warned: string[]
  append(stream: number, ...events: (readonly [type: string, source: string, schema?: string])[]): void
}

function set(stored = '', watched: readonly string[] = KEYS): Set {
  const clock = new VirtualClock()
  const saved: string[] = []
  const warned: string[] = []
  const log: Log = { ...SILENT_LOG, warn: (message) => void warned.push(message) }
  const names = { sub: String, target: String, stream: (id: number) => KEYS[id] ?? '', ingress: String, service: String }
  const types = createEventTypes({ names, clock, log, stored, store: (text) => void saved.push(text) })
  types.watch(new Set(watched))
  return {
    types,
    clock,
    saved,
    warned,
    append(stream, ...events) {
      const what = events.map(([type, source, dataschema]) => new CloudEvent({ id: 'i', type, source, dataschema }))
      types.observer.appended(stream, what.length, 1, 1, what)
    },
  }
}

describe('event types found', () => {
  test('are kept once a stream, type and source, with the schema and time of the first', () => {
    const s = set()
    s.append(
      0,
      ['order', '/shop', 'http://schema'],
      ['order', '/shop'],
      ['paid', '/shop'],
      ['order', '/shop'],
      ['order', '/other'],
    )
    s.append(1, ['order', '/shop'])
    const firstMs = s.clock.wall()
    expect(s.types.found()).toEqual([
      { stream: KEYS[0], type: 'order', source: '/shop', schema: 'http://schema', firstMs },
      { stream: KEYS[0], type: 'paid', source: '/shop', schema: '', firstMs },
      { stream: KEYS[0], type: 'order', source: '/other', schema: '', firstMs },
      { stream: KEYS[1], type: 'order', source: '/shop', schema: '', firstMs },
    ])
  })

  test('only where it is asked for, and no more once it is not', () => {
    const s = set('', [KEYS[1]!])
    s.append(0, ['a', '/s'])
    s.append(1, ['b', '/s'])
    s.types.watch(new Set())
    s.append(1, ['c', '/s'])
    expect(s.types.found().map((f) => f.type)).toEqual(['b'])
  })

  test('are stored after a moment or at the end, and known again', () => {
    const s = set()
    s.append(0, ['a', '/s'])
    s.append(0, ['b', '/s'])
    expect(s.saved).toEqual([])
    s.clock.advance(1_000)
    expect(s.saved).toHaveLength(1)
    s.append(0, ['c', '/s'])
    s.types.close()
    expect(s.saved).toHaveLength(2)
    s.types.close()
    expect(s.saved).toHaveLength(2)
    const again = set(s.saved[1])
    expect(again.types.found()).toEqual(s.types.found())
    again.append(0, ['a', '/s'])
    again.clock.advance(1_000)
    expect(again.saved).toEqual([])
  })

  test('a producer that invents types fills one stream’s list, is named once, and the others go on', () => {
    const s = set()
    for (let i = 0; i < 3_000; i++) s.append(0, [`t${i}`, '/s'])
    s.append(1, ['order', '/shop'])
    expect(s.types.found()).toHaveLength(1_001)
    expect([...s.types.leftOut()]).toEqual([[KEYS[0], 2_000]])
    expect(s.warned).toHaveLength(1)
  })

  test('nor do long names take the memory: over a kibibyte each is left out', () => {
    const s = set()
    s.append(0, ['x'.repeat(2_000), '/s'], ['y', '/s', 'z'.repeat(2_000)], ['ok', '/s'])
    expect(s.types.found().map((f) => f.type)).toEqual(['ok'])
    expect([...s.types.leftOut()]).toEqual([[KEYS[0], 2]])
  })

  test.each(['nonsense', '{}', '{"found":5}', '{"found":[null,{"stream":"a"},7]}'])('stored as %s it begins anew', (text) => {
    expect(set(text).types.found()).toEqual([])
  })
})
