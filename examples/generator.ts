import { Agent, request } from 'node:http'

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

export function createGenerator(url: string, type: string): Generator {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const acknowledged = new Set<string>()
  let latencies: number[] = []
  let perS = 0
  let owed = 0
  let serial = 0
  let open = 0
  let lastMs = performance.now()

  const send = (): void => {
    const id = `comment-${process.pid}-${serial++}`
    const startMs = performance.now()
    open++
    const outgoing = request(
      url,
      {
        method: 'POST',
        agent,
        headers: {
          'ce-specversion': '1.0',
          'ce-id': id,
          'ce-source': '/rooms/42',
          'ce-type': type,
          'content-type': 'application/json',
        },
      },
      (response) => {
        response.resume()
        response.on('end', () => {
          open--
          if (response.statusCode === 202) acknowledged.add(id)
          latencies.push(performance.now() - startMs)
        })
      },
    )
    outgoing.on('error', () => open--)
    outgoing.end(JSON.stringify({ viewer: serial % 997, text: WORDS[serial % WORDS.length] }))
  }

  setInterval(() => {
    const nowMs = performance.now()
    owed += (perS * (nowMs - lastMs)) / 1000
    lastMs = nowMs
    for (; owed >= 1; owed--) send()
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
