import { describe, expect, test } from 'vitest'
import { CloudEvent, NEW_ENVELOPE } from '../../src/event/event.ts'
import { decodeStored, encodeStored } from '../../src/event/stored.ts'
import { Fault } from '../../src/runtime/errors.ts'
import { bytes } from './events.ts'

const plain = new CloudEvent({ id: 'one', source: '/s', type: 't', data: bytes('data') })

function faultOf(stored: Uint8Array): unknown {
  try {
    return decodeStored(stored)
  } catch (e) {
    return e instanceof Fault ? e.code : e
  }
}

describe('a stored event', () => {
  test('is little more than its text and data', () => {
    expect(encodeStored(plain)).toHaveLength(7 + 'one/st'.length + 'data'.length)
  })
  test('begins with its format, so that another one is told', () => {
    const stored = encodeStored(plain)
    expect(stored[0]).toBe(1)
    stored[0] = 2
    expect(faultOf(stored)).toBe('store.format')
    expect(faultOf(new Uint8Array(0))).toBe('store.format')
  })
  test('is cut anywhere and never taken for whole, but for its data', () => {
    const e = plain.with({ extensions: [['n', 5]], envelope: { ...NEW_ENVELOPE, key: 'k', headers: ['a', 'b'] }, data: null })
    const stored = encodeStored(e)
    for (let end = 0; end < stored.length; end++) expect([end, faultOf(stored.subarray(0, end))]).toEqual([end, 'store.format'])
    expect(faultOf(Buffer.concat([stored, Buffer.from('x')]))).toBe('store.format')
  })
  test('gives its data as a view and tells none from empty', () => {
    const stored = encodeStored(plain)
    expect(decodeStored(stored).data?.buffer).toBe(stored.buffer)
    expect(decodeStored(encodeStored(plain.with({ data: null }))).data).toBeNull()
    expect(decodeStored(encodeStored(plain.with({ data: new Uint8Array(0) }))).data).toHaveLength(0)
  })
  test('shares the envelope of events that have none of their own', () => {
    expect(decodeStored(encodeStored(plain)).envelope).toBe(NEW_ENVELOPE)
  })
  test('may have more extensions and headers than were ever seen before', () => {
    const extensions = Array.from({ length: 5000 }, (_, i) => [`x${i}`, i % 2 === 0] as const)
    const headers = Array.from({ length: 3000 }, (_, i) => `h${i}`)
    const big = plain.with({ extensions, envelope: { ...NEW_ENVELOPE, headers } })
    const back = decodeStored(encodeStored(big))
    expect(back.extensions).toEqual(extensions)
    expect(back.envelope.headers).toEqual(headers)
  })
})
