// A step or branch of a flow: answers with the event it got. Environment: SAYS (put behind the data), TYPE (of the answer),
// ONLY=odd|even (answers nothing for other numbers), MUTE (never answers with an event), DELAY_MS, FAIL (status of every answer),
// ACCOUNT (file, one line an event: name and id).
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'

const { SAYS = '', TYPE, ONLY, MUTE, FAIL, ACCOUNT, K_SERVICE } = process.env

const server = createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const text = Buffer.concat(chunks).toString()
    const id = String(request.headers['ce-id'])
    if (ACCOUNT) appendFileSync(ACCOUNT, `${K_SERVICE} ${id}\n`)
    const wanted = ONLY === undefined || (Number.parseInt(text, 10) % 2 === 1) === (ONLY === 'odd')
    setTimeout(
      () => {
        if (FAIL) return response.writeHead(Number(FAIL)).end('this step fails')
        if (MUTE || !wanted) return response.writeHead(200).end()
        const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => name.startsWith('ce-')))
        response.writeHead(200, { ...headers, 'ce-type': TYPE ?? headers['ce-type'], 'content-type': 'text/plain' })
        response.end(text + SAYS)
      },
      Number(process.env.DELAY_MS ?? 0),
    )
  })
})
server.listen(Number(process.env.PORT), process.env.HOST)
process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
