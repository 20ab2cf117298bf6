import { createHmac } from 'node:crypto'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { RocketMqError } from './errors.ts'
import type { RocketMqCredentials, RocketMqTls } from './link.ts'

/** One command of RocketMQ's own protocol, as name servers and brokers speak it. */
export interface Command {
  readonly code: number
  /** Every value is a text; what is absent is left out. */
  readonly fields: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** Of an answer: why it was refused. */
  readonly remark: string
}

export interface RemotingOptions {
  readonly credentials: RocketMqCredentials | null
  /** null = plain text. */
  readonly tls: RocketMqTls | null
  readonly callMs: number
}

/** An answer over this is taken for another protocol. */
const MOST_BYTES = 64 * 2 ** 20
/** Kept open so long without a call. */
const IDLE_MS = 60_000
const ANSWER_FLAG = 1
/** 5.0.0: the first whose brokers know message types. */
const VERSION = 413
const NOTHING = new Uint8Array(0)

let opaques = 0

/** 4 bytes of length, 1 byte of serialization (0 = JSON), 3 bytes of header length, header, body. */
export function encodeCommand(
  command: Pick<Command, 'code' | 'fields' | 'body'>,
  opaque: number,
  credentials: RocketMqCredentials | null,
): Buffer {
  const fields = credentials === null ? command.fields : signed(command, credentials)
  const header = Buffer.from(
    JSON.stringify({
      code: command.code,
      language: 'HTTP',
      version: VERSION,
      opaque,
      flag: 0,
      extFields: fields,
      serializeTypeCurrentRPC: 'JSON',
    }),
  )
  const bytes = Buffer.allocUnsafe(8 + header.length + command.body.length)
  bytes.writeUInt32BE(4 + header.length + command.body.length, 0)
  bytes.writeUInt32BE(header.length, 4)
  header.copy(bytes, 8)
  bytes.set(command.body, 8 + header.length)
  return bytes
}

/** The values in the order of their names, then the body: HMAC-SHA1 under the secret. As AclClientRPCHook signs. */
function signed(
  { fields, body }: Pick<Command, 'fields' | 'body'>,
  { accessKey, accessSecret }: RocketMqCredentials,
): Record<string, string> {
  const all: Record<string, string> = { ...fields, AccessKey: accessKey }
  const mac = createHmac('sha1', accessSecret.reveal())
  for (const name of Object.keys(all).sort()) mac.update(all[name] as string)
  return { ...all, Signature: mac.update(body).digest('base64') }
}

interface Decoded extends Command {
  readonly opaque: number
  readonly answer: boolean
}

/** One command without its length; throws where it is none. */
export function decodeCommand(frame: Buffer): Decoded {
  const word = frame.readUInt32BE(0)
  const headerBytes = word & 0xff_ff_ff
  if (word >>> 24 !== 0 || headerBytes + 4 > frame.length) throw new Error('it is no JSON command of RocketMQ')
  const header = JSON.parse(frame.toString('utf8', 4, 4 + headerBytes)) as {
    readonly code?: number
    readonly opaque?: number
    readonly flag?: number
    readonly remark?: string
    readonly extFields?: Readonly<Record<string, string>>
  }
  return {
    code: header.code ?? -1,
    opaque: header.opaque ?? -1,
    answer: ((header.flag ?? 0) & ANSWER_FLAG) !== 0,
    fields: header.extFields ?? {},
    remark: header.remark ?? '',
    body: frame.subarray(4 + headerBytes),
  }
}

interface Waiting {
  resolve(answer: Command): void
  reject(e: Error): void
  readonly timer: NodeJS.Timeout
}

/** Connections to name servers and brokers, one an address, opened when they are needed. Every call has its time-out. */
export class RemotingLink {
  readonly #o: RemotingOptions
  readonly #open = new Map<string, Line>()
  #closed = false

  constructor(o: RemotingOptions) {
    this.#o = o
  }

  /** Resolves with the answer, whatever its code; rejects with a RocketMqError where there is none in time. */
  call(address: string, code: number, fields: Command['fields'], body: Uint8Array = NOTHING): Promise<Command> {
    if (this.#closed) return Promise.reject(new RocketMqError('RocketMQUnreachable', `${address}: the client is closed`))
    let line = this.#open.get(address)
    if (line === undefined || line.dead) {
      line = new Line(address, this.#o)
      this.#open.set(address, line)
    }
    return line.call({ code, fields, body })
  }

  close(): void {
    this.#closed = true
    for (const line of this.#open.values()) line.end('the client is closed')
    this.#open.clear()
  }
}

class Line {
  readonly #address: string
  readonly #o: RemotingOptions
  readonly #socket: Socket
  readonly #waiting = new Map<number, Waiting>()
  #parts: Buffer[] = []
  #bytes = 0
  dead = false

  constructor(address: string, o: RemotingOptions) {
    this.#address = address
    this.#o = o
    const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? []
    this.#socket = o.tls === null ? connectTcp(Number(port), host) : secured(host, Number(port), o.tls)
    this.#socket.unref()
    this.#socket.setNoDelay(true)
    this.#socket.setTimeout(IDLE_MS, () => this.end('nothing was said for a minute'))
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#socket.on('error', (e) => this.end(e.message))
    this.#socket.on('close', () => this.end('the connection was closed'))
  }

  call(command: Pick<Command, 'code' | 'fields' | 'body'>): Promise<Command> {
    return new Promise((resolve, reject) => {
      const opaque = (opaques = (opaques + 1) & 0x7f_ff_ff_ff)
      const timer = setTimeout(() => {
        this.#waiting.delete(opaque)
        reject(this.#error(`no answer within ${this.#o.callMs} ms`))
        // A peer that does not answer at all may be gone without a word.
        if (this.#waiting.size === 0) this.end('it does not answer')
      }, this.#o.callMs)
      timer.unref()
      this.#waiting.set(opaque, { resolve, reject, timer })
      this.#socket.write(encodeCommand(command, opaque, this.#o.credentials))
    })
  }

  end(why: string): void {
    if (this.dead) return
    this.dead = true
    this.#socket.destroy()
    for (const w of this.#waiting.values()) {
      clearTimeout(w.timer)
      w.reject(this.#error(why))
    }
    this.#waiting.clear()
  }

  #error(why: string): RocketMqError {
    return new RocketMqError('RocketMQUnreachable', `${this.#address}: ${why}`)
  }

  #take(chunk: Buffer): void {
    this.#parts.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes < 4) return
    let all = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts)
    while (all.length >= 4) {
      const length = all.readUInt32BE(0)
      if (length < 4 || length > MOST_BYTES) return this.end('it does not speak the protocol of RocketMQ')
      if (all.length < 4 + length) break
      try {
        this.#answered(decodeCommand(all.subarray(4, 4 + length)))
      } catch (e) {
        return this.end(e instanceof Error ? e.message : String(e))
      }
      all = all.subarray(4 + length)
    }
    this.#parts = all.length === 0 ? [] : [all]
    this.#bytes = all.length
  }

  #answered(command: Decoded): void {
    // What the broker asks of its clients is nothing to an administrator.
    const waiting = command.answer ? this.#waiting.get(command.opaque) : undefined
    if (waiting === undefined) return
    this.#waiting.delete(command.opaque)
    clearTimeout(waiting.timer)
    waiting.resolve(command)
  }
}

function secured(host: string, port: number, tls: RocketMqTls): Socket {
  return connectTls({
    host,
    port,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(tls.ca === '' ? {} : { ca: tls.ca }),
    ...(tls.cert === '' || tls.key === null ? {} : { cert: tls.cert, key: tls.key.reveal() }),
  })
}
