import { createServer } from 'node:net'
import { startRocketMq } from './rocketmq.ts'

/** A RocketMQ without topics, whose addresses are told to whoever connects: one line of JSON. */
export async function startToldRocketMq(): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const server = await startRocketMq({ topics: [], groups: [] })
  const { endpoint, nameServer } = server
  const teller = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.end(JSON.stringify({ endpoint, nameServer }))
  })
  await new Promise<void>((resolve) => teller.listen(0, '127.0.0.1', resolve))
  const address = teller.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async stop() {
      teller.close()
      await server.stop()
    },
  }
}
