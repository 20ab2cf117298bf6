import { createServer, type Socket } from 'node:net'
import { serve } from './processes.ts'

// A service as cheap as one can be: counts requests, answers 200 after DELAY ms. Arguments: delay in ms.

const delayMs = Number(process.argv[2] ?? 0)
const ANSWER = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
let count = 0
let firstMs = 0
let lastMs = 0
let goal = 0
let reached: (() => void) | null = null
let latencies: number[] = []

const server = createServer({ noDelay: true }, (socket) => {
  let left = ''
  socket.on('data', (chunk) => {
    left += chunk.toString('latin1')
    for (;;) {
      const end = left.indexOf('\r\n\r\n')
      if (end < 0) return
      const head = left.slice(0, end)
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
      if (left.length < end + 4 + length) return
      took(left.slice(end + 4, end + 4 + length))
      left = left.slice(end + 4 + length)
      answer(socket)
    }
  })
  socket.on('error', () => {})
})

function took(body: string): void {
  lastMs = performance.now()
  if (count++ === 0) firstMs = lastMs
  const sentAt = /"sentAt":(\d+(?:\.\d+)?)/.exec(body)
  if (sentAt !== null) latencies.push(performance.timeOrigin + lastMs - Number(sentAt[1]))
  if (goal > 0 && count >= goal && reached !== null) {
    reached()
    reached = null
  }
}

function answer(socket: Socket): void {
  if (delayMs === 0) socket.write(ANSWER)
  else setTimeout(() => socket.write(ANSWER), delayMs)
}

server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.({ name: 'ready', value: typeof address === 'object' && address !== null ? address.port : 0 })
})

serve({
  /** Forgets what was counted. */
  reset() {
    count = 0
    latencies = []
    return true
  },
  /** Resolves once that many have come since the reset. */
  until(n: number) {
    goal = n
    return new Promise((resolve) => {
      const done = (): void => resolve({ count, seconds: (lastMs - firstMs) / 1_000 })
      if (count >= n) done()
      else reached = done
    })
  },
  count: () => count,
  latencies() {
    const sorted = latencies.sort((a, b) => a - b)
    const at = (q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
    return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
  },
})
