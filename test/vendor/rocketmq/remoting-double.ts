import { createServer, type Server, type Socket } from 'node:net'
import { type Command, decodeCommand } from '../../../src/vendor/rocketmq/remoting.ts'

export type Answer = Pick<Command, 'code' | 'fields' | 'remark'> & { readonly body: string }

export function answerOf(a: Partial<Answer>): Answer {
  return { code: 0, fields: {}, remark: '', body: '', ...a }
}

/** A name server and broker in one, which answers as it is told: null = not at all. */
export class RemotingDouble {
  /** Calls so far. */
  readonly calls: Command[] = []
  connections = 0
  /** Bytes come one at a time. */
  piecemeal = false
  /** So many answers are kept and sent in the opposite order. */
  backwards = 1
  readonly #answer: (c: Command) => Answer | Buffer | 'hang up' | null
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #port = 0

  constructor(answer: (c: Command) => Answer | Buffer | 'hang up' | null) {
    this.#answer = answer
    this.#server = createServer((socket) => this.#serve(socket))
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  listen(): Promise<void> {
    return new Promise((resolve) =>
      this.#server.listen(0, '127.0.0.1', () => {
        const address = this.#server.address()
        if (typeof address === 'object' && address !== null) this.#port = address.port
        resolve()
      }),
    )
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(socket: Socket): void {
    this.connections++
    this.#sockets.add(socket)
    socket.on('error', () => {})
    let held = Buffer.alloc(0)
    const kept: Buffer[] = []
    socket.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk])
      while (held.length >= 4 && held.length >= 4 + held.readUInt32BE(0)) {
        const length = held.readUInt32BE(0)
        const command = decodeCommand(held.subarray(4, 4 + length))
        held = held.subarray(4 + length)
        this.calls.push(command)
        const answer = this.#answer(command)
        if (answer === 'hang up') return void socket.destroy()
        if (answer === null) continue
        kept.push(Buffer.isBuffer(answer) ? answer : frameOf(answer, command.opaque))
      }
      if (kept.length >= this.backwards) for (const bytes of kept.splice(0).toReversed()) this.#write(socket, bytes)
    })
  }

  #write(socket: Socket, bytes: Buffer): void {
    if (!this.piecemeal) return void socket.write(bytes)
    socket.setNoDelay(true)
    for (const byte of bytes) socket.write(Uint8Array.of(byte))
  }
}

function frameOf({ code, fields, remark, body }: Answer, opaque: number): Buffer {
  const header = Buffer.from(JSON.stringify({ code, flag: 1, opaque, remark, extFields: fields }))
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(4 + header.length + Buffer.byteLength(body), 0)
  bytes.writeUInt32BE(header.length, 4)
  return Buffer.concat([bytes, header, Buffer.from(body)])
}
