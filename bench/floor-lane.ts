import { connect, type Socket } from 'node:net'

// The floor of HTTP out: requests over node:net as fast as answers come. Arguments: port, requests in flight.

const [port = '0', flight = '64'] = process.argv.slice(2)
const BODY = Buffer.from('x'.repeat(300))
const HEAD = Buffer.from(
  `POST / HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nce-specversion: 1.0\r\nce-id: event-1000000\r\nce-source: /bench/load\r\nce-type: bench.event\r\nce-time: 2026-01-31T12:00:00Z\r\ncontent-type: application/json\r\ncontent-length: 300\r\n\r\n`,
)
const REQUEST = Buffer.concat([HEAD, BODY])

for (let i = 0; i < Number(flight); i++) {
  const socket: Socket = connect({
    port: Number(port),
    host: '127.0.0.1',
    noDelay: true,
    onread: {
      buffer: Buffer.allocUnsafeSlow(16_384),
      callback: () => {
        socket.write(REQUEST)
        return true
      },
    },
  })
  socket.on('error', () => process.exit(1))
  socket.write(REQUEST)
}
process.on('disconnect', () => process.exit(0))
