import fc from 'fast-check'
import { expect, test } from 'vitest'
import { contentTypeText, decodeHeaderValue, encodeHeaderValue, headerText } from '../../src/event/header-value.ts'

test('what is encoded is ASCII without space, quote or line break, and decodes to what it was', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const header = encodeHeaderValue(text)
      expect(header).toMatch(/^[\x21\x23-\x7e]*$/)
      expect(decodeHeaderValue(header)).toBe(text)
    }),
  )
})

test('raw UTF-8 that was read as latin1 is read as UTF-8, real latin1 is left', () => {
  expect(decodeHeaderValue(Buffer.from('café').toString('latin1'))).toBe('café')
  expect(decodeHeaderValue('café')).toBe('café')
  expect(decodeHeaderValue('日')).toBe('日')
})

test('bytes are base64, other values as they print', () => {
  expect([headerText(Uint8Array.of(1, 2)), headerText(5), headerText(false), headerText('a b')]).toEqual([
    'AQI=',
    '5',
    'false',
    'a%20b',
  ])
})

test('a content type keeps its spaces and quotes, and loses what could end the line', () => {
  expect(contentTypeText('text/plain; a="b"')).toBe('text/plain; a="b"')
  expect(contentTypeText('a\r\nb: é')).toBe('a%0D%0Ab: %C3%A9')
})
