// A pod for tests. It counts its own concurrency and writes one line an event: `id concurrency pid`.
// Environment: DELAY_MS, START_MS, ACCOUNT (file), CRASH (exit before listening), HANG_ID (never answers that id), LIMIT.
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'

if (process.env.CRASH) {
  console.error('this pod cannot start')
  process.exit(3)
}
let inFlight = 0
const server = createServer((request, response) => {
  inFlight++
  const seen = inFlight
  const id = String(request.headers['ce-id'] ?? request.url)
  request.resume()
  request.on('end', () => {
    if (process.env.ACCOUNT) appendFileSync(process.env.ACCOUNT, `${id} ${seen} ${process.pid}\n`)
    if (id === process.env.HANG_ID) return
    setTimeout(
      () => {
        inFlight--
        response.writeHead(200, { 'content-type': 'text/plain', 'x-pod': String(process.env.K_POD) })
        response.end(`served ${id}`)
      },
      Number(process.env.DELAY_MS ?? 0),
    )
  })
})
console.log(`hello from ${process.env.K_SERVICE} revision ${process.env.K_REVISION}`)
setTimeout(() => server.listen(Number(process.env.PORT), process.env.HOST), Number(process.env.START_MS ?? 0))
process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
