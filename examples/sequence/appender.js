// A step of a Sequence: answers with the event it got, MESSAGE put behind its text. Plain Node, no packages.
import { createServer } from 'node:http'

const message = process.env.MESSAGE ?? ''

const server = createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const data = JSON.parse(Buffer.concat(chunks).toString())
    console.log(`appends "${message}" to "${data.message}"`)
    response.writeHead(200, {
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-id': request.headers['ce-id'],
      'ce-source': `/${process.env.K_SERVICE}`,
      'ce-type': 'sequence.step.done',
    })
    response.end(JSON.stringify({ ...data, message: data.message + message }))
  })
})
server.listen(Number(process.env.PORT ?? 8080), process.env.HOST ?? '127.0.0.1')
process.on('SIGTERM', () => server.close(() => process.exit(0)))
