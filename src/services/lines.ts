import type { Readable } from 'node:stream'

/** Longest line kept; the rest of a longer one is dropped and marked. */
const LONGEST_LINE = 8_192

/** Drains a pod's output for ever and hands it on line by line, so that no pod ever blocks on a full pipe. */
export function drainLines(stream: Readable, line: (text: string) => void): void {
  let open = ''
  let cut = false
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    const parts = chunk.split('\n')
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i] ?? ''
      if (open.length < LONGEST_LINE) open += part.slice(0, LONGEST_LINE - open.length)
      if (open.length >= LONGEST_LINE) cut = true
      if (i < parts.length - 1) {
        if (open !== '') line(cut ? `${open} …` : open)
        open = ''
        cut = false
      }
    }
  })
  stream.on('end', () => {
    if (open !== '') line(open)
  })
  stream.on('error', () => {})
}
