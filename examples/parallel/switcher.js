// A filter for several branches: its path says which case a branch is for. An event of that case is answered with, which
// lets it into the branch; any other gets an empty answer, which keeps it out. Plain Node, no packages.
import { createServer } from 'node:http'

const server = createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const body = Buffer.concat(chunks)
    const wanted = Number(request.url.slice(1))
    if (JSON.parse(body.toString()).n % 2 !== wanted) return response.writeHead(200).end()
    const attributes = Object.entries(request.headers).filter(([name]) => name.startsWith('ce-') || name === 'content-type')
    response.writeHead(200, Object.fromEntries(attributes)).end(body)
  })
})
server.listen(Number(process.env.PORT ?? 8080), process.env.HOST ?? '127.0.0.1')
process.on('SIGTERM', () => server.close(() => process.exit(0)))
