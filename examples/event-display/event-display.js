// A service that takes a while: prints each event, answers after DELAY_MS, and keeps an account of its own concurrency.
// Plain Node, no packages. Environment: PORT, HOST (from the gateway), DELAY_MS, LIMIT, ACCOUNT_DIR, QUIET.
import { createServer } from 'node:http'
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const delayMs = Number(process.env.DELAY_MS ?? 0)
const limit = Number(process.env.LIMIT ?? 0)
const pod = process.env.K_POD ?? `pid-${process.pid}`
// One line an event, `id concurrency status`, so that whoever ran the scene can count what arrived.
const account = process.env.ACCOUNT_DIR ? openSync(join(process.env.ACCOUNT_DIR, `${pod}.account`), 'a') : -1

let inFlight = 0

function idOf(headers, body) {
  if (headers['ce-id'] !== undefined) return String(headers['ce-id'])
  try {
    return String(JSON.parse(body).id ?? '')
  } catch {
    return ''
  }
}

const server = createServer((request, response) => {
  const chunks = []
  inFlight++
  const most = inFlight
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const body = Buffer.concat(chunks).toString()
    const id = idOf(request.headers, body)
    setTimeout(() => {
      inFlight--
      const status = limit > 0 && most > limit ? 500 : 200
      if (account >= 0) writeSync(account, `${id} ${most} ${status}\n`)
      if (!process.env.QUIET) {
        console.log(
          `event ${id} type=${request.headers['ce-type'] ?? ''} source=${request.headers['ce-source'] ?? ''} data=${body.slice(0, 200)}`,
        )
      }
      response.writeHead(status)
      response.end()
    }, delayMs)
  })
})
server.keepAliveTimeout = 60_000
server.listen(Number(process.env.PORT ?? 8080), process.env.HOST ?? '127.0.0.1')
process.on('SIGTERM', () => {
  server.close(() => {
    if (account >= 0) closeSync(account)
    process.exit(0)
  })
  server.closeIdleConnections()
})
