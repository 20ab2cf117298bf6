import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  base64Bytes,
  checkAttributeName,
  checkEvent,
  dataAsJson,
  isExtensionText,
  isText,
  isTimestamp,
} from '../../src/event/attributes.ts'
import { CloudEvent } from '../../src/event/event.ts'
import { bytes } from './events.ts'

test('text is what the specification calls it, code point by code point', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 4 }), (units) => {
      const text = String.fromCharCode(...units)
      const wanted = !/[\p{Cc}\p{Noncharacter_Code_Point}\p{Cs}]/u.test(text)
      expect(isText(text)).toBe(wanted)
    }),
    { numRuns: 5000 },
  )
})

test('line breaks stand in an extension beside text, never alone, and never in another attribute', () => {
  expect(['a\nb', 'a\r\n', '\tx'].map(isExtensionText)).toEqual([true, true, true])
  expect(['\n', '\r\n\t', ' \n ', '\u0000a', 'a\n\u0001'].map(isExtensionText)).toEqual([false, false, false, false, false])
  const e = new CloudEvent({ id: '1', source: '/s', type: 't', subject: 'a\nb' })
  expect(checkEvent(e)).toMatchObject({ attribute: 'subject' })
})

test('a date is a timestamp where it exists', () => {
  const wanted = (y: number, m: number, d: number): boolean => new Date(Date.UTC(y, m - 1, d)).getUTCMonth() === m - 1
  fc.assert(
    fc.property(
      fc.integer({ min: 1900, max: 2400 }),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 31 }),
      (y, m, d) => {
        const text = `${y}-${String(m).padStart(2, '0')}-${String(d).padStart(2, '0')}T00:00:00Z`
        expect([text, isTimestamp(text)]).toEqual([text, wanted(y, m, d)])
      },
    ),
    { numRuns: 1000 },
  )
  expect(['2021-01-18t14:52:01z', '2021-01-18T23:59:60Z', '2021-01-18T00:00:00-23:59'].map(isTimestamp)).toEqual([
    true,
    true,
    true,
  ])
  expect(['2021-01-18T00:00:00.Z', '2021-01-18T00:00:00-24:00', '2021-00-18T00:00:00Z'].map(isTimestamp)).toEqual([
    false,
    false,
    false,
  ])
})

describe('base64', () => {
  test('is strict in small and in large texts', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 50 }),
        fc.constantFrom('', '-', '_', ' ', '=', '\n', 'é'),
        fc.nat(),
        (data, wrong, at) => {
          const small = Buffer.from(data).toString('base64')
          const large = Buffer.alloc(4500, 'A').toString() + small
          for (const text of [small, large]) {
            const place = at % (text.length + 1)
            const other = text.slice(0, place) + wrong + text.slice(place + wrong.length)
            expect(base64Bytes(text)).toEqual(Buffer.from(text, 'base64'))
            const padded = other.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(other)
            expect([wrong, base64Bytes(other) !== undefined]).toEqual([wrong, padded])
          }
        },
      ),
    )
  })
})

test('names say what is wrong with them', () => {
  expect(checkAttributeName('abc1')).toBeNull()
  for (const name of ['', 'A', 'a_b', 'data', 'data_base64', 'é', 'a\n'])
    expect(checkAttributeName(name)).toEqual(expect.any(String))
  expect(checkAttributeName('My\n')).toContain('"My\\n"')
})

describe('data as JSON', () => {
  const event = (data: Uint8Array | null): CloudEvent => new CloudEvent({ id: '1', source: '/s', type: 't', data })
  test('is parsed once, whatever the content type says', () => {
    const e = event(bytes('{"a":[1]}'))
    const first = dataAsJson(e)
    expect(first).toEqual({ value: { a: [1] } })
    expect(dataAsJson(e)).toBe(first)
    expect(e.parsed).toBe(first)
  })
  test('or a sentence, also kept', () => {
    const e = event(bytes('<a/>'))
    expect(dataAsJson(e)).toEqual({ error: expect.stringMatching(/^the data is no JSON: /) as string })
    expect(dataAsJson(e)).toBe(dataAsJson(e))
    expect(dataAsJson(event(null))).toEqual({ error: 'the event has no data' })
    expect(dataAsJson(event(Uint8Array.of(0x22, 0xff, 0x22)))).toEqual({ error: 'the data is no JSON: it is not UTF-8' })
  })
})

test('an event made in code is checked like one that was read', () => {
  const good = { id: '1', source: '/s', type: 't' }
  expect(checkEvent(new CloudEvent({ ...good, extensions: [['n', 5]] }))).toBeNull()
  expect(checkEvent(new CloudEvent({ ...good, id: '' }))).toMatchObject({ attribute: 'id' })
  expect(checkEvent(new CloudEvent({ ...good, extensions: [['n', 1.5]] }))).toMatchObject({ attribute: 'n' })
  expect(checkEvent(new CloudEvent({ ...good, extensions: [['N', 1]] }))).toMatchObject({ attribute: 'N' })
  expect(checkEvent(new CloudEvent({ ...good, dataschema: 'x' }))).toMatchObject({ attribute: 'dataschema' })
  expect(checkEvent(new CloudEvent({ ...good, specversion: '0.3', dataschema: 'x' }))).toBeNull()
})
