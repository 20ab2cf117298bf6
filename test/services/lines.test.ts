import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { drainLines } from '../../src/services/lines.ts'
import { until } from '../until.ts'

async function linesOf(...chunks: string[]): Promise<string[]> {
  const stream = new PassThrough()
  const lines: string[] = []
  let ended = false
  stream.on('end', () => (ended = true))
  drainLines(stream, (line) => lines.push(line))
  for (const chunk of chunks) stream.write(chunk)
  stream.end()
  await until('the stream has ended', () => ended)
  return lines
}

test('lines are put together over chunks; empty ones are left out; the last needs no end', async () => {
  expect(await linesOf('a', 'b\nc\n\n', 'd')).toEqual(['ab', 'c', 'd'])
})

test('a line is cut at 8,192 characters and marked, and the next one is whole again', async () => {
  const [long, next] = await linesOf('x'.repeat(5_000), 'x'.repeat(5_000), '\nshort\n')
  expect(long).toBe('x'.repeat(8_192) + ' …')
  expect(next).toBe('short')
})
