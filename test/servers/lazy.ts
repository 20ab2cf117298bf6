import { connect, createServer, type Socket } from 'node:net'

/** A server that is started when somebody first connects to its address. */
export interface LazyServer {
  readonly port: number
  stop(): Promise<void>
}

interface Started {
  readonly port: number
  stop(): Promise<void>
}

/** Listens on a port of its own and passes every connection on to the server, which the first of them starts. */
export async function lazyServer(start: () => Promise<Started>): Promise<LazyServer> {
  let server: Promise<Started> | null = null
  const sockets = new Set<Socket>()
  const front = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
    server ??= start()
    server.then(
      ({ port }) => {
        const back = connect({ port, host: '127.0.0.1', noDelay: true })
        back.on('error', () => socket.destroy())
        back.on('close', () => socket.destroy())
        socket.on('close', () => back.destroy())
        socket.pipe(back)
        back.pipe(socket)
      },
      (e: unknown) => {
        console.error(e)
        socket.destroy()
      },
    )
  })
  await new Promise<void>((resolve, reject) => {
    front.once('error', reject)
    front.listen(0, '127.0.0.1', resolve)
  })
  const address = front.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async stop() {
      for (const socket of sockets) socket.destroy()
      front.close()
      const started = await server?.catch(() => undefined)
      await started?.stop()
    },
  }
}
