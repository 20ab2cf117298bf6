import { describe, expect, test } from 'vitest'
import { CloudEvent, NEW_ENVELOPE } from '../../src/event/event.ts'
import { decodeStored, encodeStored } from '../../src/event/stored.ts'
import { Descendants, rootOf } from '../../src/subscription/descendants.ts'
import { passOn } from '../../src/subscription/stream-target.ts'

const event = (id: string, receivedMs = 1): CloudEvent =>
  new CloudEvent({ id, source: '/s', type: 't', envelope: { ...NEW_ENVELOPE, receivedMs } })

describe('descendants of one event', () => {
  test('are counted by what they came from: 10,000 go on, dead letters up to as many again', () => {
    const d = new Descendants()
    for (let i = 0; i < 10_000; i++) expect(d.add('root', false)).toBe(true)
    expect(d.add('root', false)).toBe(false)
    expect(d.add('root', true)).toBe(true)
    for (let i = 0; i < 9_999; i++) d.add('root', true)
    expect(d.add('root', true)).toBe(false)
    expect(d.add('another', false)).toBe(true)
  })

  test('what still goes round is never forgotten, however many others there are', () => {
    const d = new Descendants()
    for (let i = 0; i < 10_000; i++) {
      d.add('loop', false)
      for (let k = 0; k < 4; k++) d.add(`once ${i} ${k}`, false)
    }
    expect(d.add('loop', false)).toBe(false)
  })

  test('the root stays the same from pass to pass and in the store, and differs between events with one id', () => {
    const first = passOn(event('a'), 'subscriber')!
    expect(first.envelope.root).toBe(rootOf(event('a')))
    const second = passOn(decodeStored(encodeStored(first)), 'reply')!
    expect(second.envelope).toMatchObject({ root: first.envelope.root, hops: 2, ttl: 253 })
    expect(rootOf(event('a', 2))).not.toBe(rootOf(event('a', 1)))
    expect(rootOf(event('x'.repeat(5_000))).length).toBeLessThan(100)
  })
})
