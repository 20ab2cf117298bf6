import { Agent, request } from 'node:http'

/** Sends one event; calls back once, with whether it was acknowledged. */
export type Send = (id: string, data: string, done: (acknowledged: boolean) => void) => void

/** Sends comments at a steady rate and remembers which were acknowledged. */
export interface Generator {
  rate(perS: number): void
  /** Of the answers since the last call, ms. */
  latency(): { readonly p50: number; readonly p99: number }
  /** Resolves once every request has been answered, with the ids that were acknowledged. */
  settled(): Promise<ReadonlySet<string>>
}

const TICK_MS = 10
const WORDS = ['great', 'hello', 'encore', 'wow', 'first', 'again', 'louder', 'thanks']

export function createGenerator(send: Send): Generator {
  const acknowledged = new Set<string>()
  let latencies: number[] = []
  let perS = 0
  let owed = 0
  let serial = 0
  let open = 0
  let lastMs = performance.now()

  const fire = (): void => {
    const id = `comment-${process.pid}-${serial++}`
    const startMs = performance.now()
    open++
    send(id, JSON.stringify({ viewer: serial % 997, text: WORDS[serial % WORDS.length] }), (taken) => {
      open--
      if (taken) acknowledged.add(id)
      latencies.push(performance.now() - startMs)
    })
  }

  setInterval(() => {
    const nowMs = performance.now()
    owed += (perS * (nowMs - lastMs)) / 1000
    lastMs = nowMs
    for (; owed >= 1; owed--) fire()
  }, TICK_MS)

  return {
    rate(value) {
      perS = value
      owed = 0
    },
    latency() {
      const sorted = latencies.sort((a, b) => a - b)
      latencies = []
      return { p50: sorted[Math.floor(sorted.length * 0.5)] ?? 0, p99: sorted[Math.floor(sorted.length * 0.99)] ?? 0 }
    },
    async settled() {
      while (open > 0) await new Promise((resolve) => setTimeout(resolve, 20))
      return acknowledged
    },
  }
}

/** Binary content mode, one request an event. */
export function sendOverHttp(url: string): Send {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  return (id, data, done) => {
    const headers = {
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-source': '/rooms/42',
      'ce-type': 'com.example.livestream.comment',
      'content-type': 'application/json',
    }
    const outgoing = request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume()
      response.on('end', () => done(response.statusCode === 202))
    })
    outgoing.on('error', () => done(false))
    outgoing.end(data)
  }
}
