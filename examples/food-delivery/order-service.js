// The order service: writes down one line an order, answers after DELAY_MS, and keeps an account of its
// own concurrency. Plain Node, no packages. Environment: PORT, HOST (from the gateway), DELAY_MS, LIMIT, ACCOUNT_DIR, QUIET.
import { createServer } from 'node:http'
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const delayMs = Number(process.env.DELAY_MS ?? 0)
const limit = Number(process.env.LIMIT ?? 0)
const pod = process.env.K_POD ?? `pid-${process.pid}`
// One line an order, `orderId concurrency status`, so that whoever ran the scene can count what was written.
const account = process.env.ACCOUNT_DIR ? openSync(join(process.env.ACCOUNT_DIR, `${pod}.account`), 'a') : -1

let inFlight = 0

function orderOf(body) {
  try {
    const order = JSON.parse(body)
    return typeof order.orderId === 'string' ? order : null
  } catch {
    return null
  }
}

const server = createServer((request, response) => {
  const chunks = []
  inFlight++
  const most = inFlight
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const order = orderOf(Buffer.concat(chunks).toString())
    setTimeout(() => {
      inFlight--
      const status = order === null ? 400 : limit > 0 && most > limit ? 500 : 200
      if (order !== null && account >= 0) writeSync(account, `${order.orderId} ${most} ${status}\n`)
      if (order !== null && !process.env.QUIET)
        console.log(`order ${order.orderId} ${order.orderStatus}: ${order.prodName} for ${order.chargeMoney}`)
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
