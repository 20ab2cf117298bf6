import { connect, type Socket } from 'node:net'

const END = '\r\n\r\n'

interface Waiting<T> {
  readonly head: string
  readonly body: Buffer
  readonly token: T
}

export interface BareLaneOptions<T> {
  readonly port: number
  /** Requests in flight. */
  readonly flight: number
  /** The request of this token was answered with 2xx. */
  done(token: T): void
  /** Few are waiting: more may be pushed. Said again and again. */
  low(): void
}

/** Fewer waiting than these are few. */
const FEW = 512

/** HTTP out with nothing around it: one POST a connection at a time over node:net; anything but a 2xx ends the process. */
export class BareLane<T> {
  readonly #o: BareLaneOptions<T>
  readonly #opening: string
  readonly #idle: Connection<T>[] = []
  #waiting: Waiting<T>[] = []
  #begin = 0
  #asked = false

  constructor(o: BareLaneOptions<T>) {
    this.#o = o
    this.#opening = `POST / HTTP/1.1\r\nhost: 127.0.0.1:${o.port}\r\n`
    for (let i = 0; i < o.flight; i++) {
      this.#idle.push(
        new Connection<T>(o.port, (connection, token) => {
          this.#idle.push(connection)
          o.done(token)
          this.pump()
        }),
      )
    }
  }

  /** `head`: lines of headers, each with its end. Sent with the next `pump`. */
  push(head: string, body: Buffer, token: T): void {
    this.#waiting.push({ head, body, token })
  }

  pump(): void {
    while (this.#begin < this.#waiting.length) {
      const connection = this.#idle.pop()
      if (connection === undefined) break
      const one = this.#waiting[this.#begin++]
      if (one !== undefined)
        connection.send(`${this.#opening}${one.head}content-length: ${one.body.length}${END}`, one.body, one.token)
    }
    if (this.#asked || this.#waiting.length - this.#begin >= FEW) return
    this.#asked = true
    setImmediate(() => {
      this.#asked = false
      this.#waiting = this.#waiting.slice(this.#begin)
      this.#begin = 0
      this.#o.low()
    })
  }
}

class Connection<T> {
  readonly #socket: Socket
  #current: { readonly token: T } | null = null

  constructor(port: number, answered: (connection: Connection<T>, token: T) => void) {
    this.#socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(16_384),
        callback: (n, buffer) => {
          const text = (buffer as Buffer).toString('latin1', 0, n)
          const current = this.#current
          if (!text.endsWith(END) || text.charCodeAt(9) !== 50 || current === null) process.exit(1)
          this.#current = null
          answered(this, current.token)
          return true
        },
      },
    })
    this.#socket.on('error', () => process.exit(1))
  }

  send(head: string, body: Buffer, token: T): void {
    this.#current = { token }
    const bytes = Buffer.allocUnsafe(head.length + body.length)
    bytes.write(head, 0, 'latin1')
    body.copy(bytes, head.length)
    this.#socket.write(bytes)
  }
}
