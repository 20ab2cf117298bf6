import { binaryHead } from '../src/event/http.ts'
import { CloudEvent } from '../src/event/event.ts'
import { runLoad } from '../src/cli/load.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { createDeadlines } from '../src/sender/deadlines.ts'
import { createOwnLane } from '../src/sender/lane/own-lane.ts'
import { serve } from './processes.ts'

// Sends events of 300 bytes to a URL. Arguments: URL, requests a second (0 = as fast as answers come), count, concurrency.

const [urlText = '', rate = '0', count = '1000', concurrency = '64'] = process.argv.slice(2)
const url = new URL(urlText)
const common = `POST ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\n`
const PADDING = 'x'.repeat(250)
const lane = createOwnLane(systemClock, createDeadlines(systemClock))

serve({
  async go() {
    const result = await runLoad(
      lane,
      {
        origin: { protocol: 'http:', host: url.hostname, port: Number(url.port), caCerts: '' },
        path: url.pathname,
        ratePerS: Number(rate),
        count: Number(count),
        concurrency: Number(concurrency),
        shot(serial) {
          const body = Buffer.from(`{"sentAt":${(performance.timeOrigin + performance.now()).toFixed(3)},"note":"${PADDING}"}`)
          const event = new CloudEvent({
            id: `event-${serial}`,
            source: '/bench/load',
            type: 'bench.event',
            time: '2026-01-31T12:00:00Z',
            datacontenttype: 'application/json',
            data: body,
          })
          return { head: common + binaryHead(event), body, events: 1 }
        },
      },
      new AbortController().signal,
      () => {},
    )
    return { events: result.events, seconds: result.seconds, p50: result.latencies[Math.floor(result.latencies.length / 2)] ?? 0 }
  },
})
process.send?.({ name: 'ready', value: 0 })
