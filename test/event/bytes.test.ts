import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { strictText, TextCache } from '../../src/event/bytes.ts'
import { mediaTypeOf } from '../../src/event/media.ts'

describe('the cache of texts', () => {
  test.for(['names', 'values'] as const)('gives the text of the bytes, again and again, or nothing (%s)', (kind) => {
    const cache = new TextCache(kind)
    const piece = fc.string({ unit: 'grapheme-ascii', maxLength: 70 })
    fc.assert(
      fc.property(fc.oneof(piece, fc.string({ unit: 'binary', maxLength: 5 })), fc.nat({ max: 3 }), (text, pad) => {
        const bytes = Buffer.concat([Buffer.alloc(pad, '#'), Buffer.from(text), Buffer.alloc(pad, '#')])
        const wanted = text.length <= 64 && /^[\x20-\x7e]*$/.test(text) ? text : undefined
        for (let i = 0; i < 2; i++) expect(cache.text(bytes, pad, bytes.length - pad)).toBe(wanted)
      }),
      { numRuns: 3000 },
    )
  })
  test('does not keep the bytes it was given', () => {
    const cache = new TextCache('names')
    const bytes = Buffer.from('type')
    expect(cache.text(bytes, 0, 4)).toBe('type')
    bytes.write('xxxx')
    expect(cache.text(Buffer.from('type'), 0, 4)).toBe('type')
    expect(cache.text(bytes, 0, 4)).toBe('xxxx')
  })
})

test('text is strict about UTF-8', () => {
  expect(strictText(Buffer.from('aé😀\u0001'))).toBe('aé😀\u0001')
  expect(strictText(Uint8Array.of(0x41, 0x80))).toBeUndefined()
})

test('a media type is known by its essence, charset and kind', () => {
  expect(mediaTypeOf('Application/Vnd.X+JSON ; Charset="UTF-8"; q=1')).toEqual({
    essence: 'application/vnd.x+json',
    charset: 'utf-8',
    json: true,
    text: true,
  })
  expect(mediaTypeOf('text/csv')).toMatchObject({ json: false, text: true })
  expect(mediaTypeOf('image/png')).toMatchObject({ json: false, text: false })
  for (const wrong of ['', 'xyz', 'a/', '/b', 'a/b/c', 'a b/c', 'a/b;\n', 'é/x'])
    expect([wrong, mediaTypeOf(wrong)]).toEqual([wrong, null])
})

test('the table of media types has a bound and forgets nothing that matters', () => {
  for (let i = 0; i < 1000; i++) expect(mediaTypeOf(`a/x${i}`)?.essence).toBe(`a/x${i}`)
  expect(mediaTypeOf('a/x0')?.essence).toBe('a/x0')
})
