// The subscriber of a branch: answers with a new event that says SAYS. Plain Node, no packages.
import { createServer } from 'node:http'

const server = createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const { n } = JSON.parse(Buffer.concat(chunks).toString())
    response.writeHead(200, {
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-id': request.headers['ce-id'],
      'ce-source': `/${process.env.K_SERVICE}`,
      'ce-type': 'parallel.branch.done',
    })
    response.end(JSON.stringify({ n, message: process.env.SAYS }))
  })
})
server.listen(Number(process.env.PORT ?? 8080), process.env.HOST ?? '127.0.0.1')
process.on('SIGTERM', () => server.close(() => process.exit(0)))
