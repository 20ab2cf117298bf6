import type { NatsMessage } from '../../../src/vendor/nats/link.ts'

export interface Published {
  readonly subject: string
  readonly reply: string
  readonly head: string
  readonly data: string
}

/** A connection that keeps what is published, and brings what the test says. */
export class LinkDouble {
  up = true
  maxPayload = 2 ** 20
  readonly published: Published[] = []
  readonly flushes: number[] = []
  readonly #listening = new Map<string, (m: NatsMessage) => void>()

  inbox(tail: string): string {
    return `_INBOX.${tail}`
  }

  listen(tail: string, f: (m: NatsMessage) => void): string {
    const subject = `_INBOX.${tail}`
    this.#listening.set(subject, f)
    return subject
  }

  unlisten(subject: string): void {
    this.#listening.delete(subject)
  }

  drain(subject: string): Promise<void> {
    this.unlisten(subject)
    return Promise.resolve()
  }

  flush(): Promise<void> {
    this.flushes.push(this.published.length)
    return Promise.resolve()
  }

  publish(subject: string, reply: string, head: string, data: Uint8Array | string): boolean {
    if (!this.up) return false
    this.published.push({ subject, reply, head, data: Buffer.from(data).toString() })
    return true
  }

  /** What was published since the last time. */
  taken(): Published[] {
    return this.published.splice(0)
  }

  /** `to` was a reply of ours; nobody listening is no fault. */
  answer(to: string, text: string): void {
    this.#at(to)?.(message({ subject: to, text }))
  }

  /** `code` 0 = a message. */
  bring(inbox: string, o: { reply?: string; head?: string; text?: string; code?: number; description?: string }): void {
    this.#at(inbox)?.(message({ subject: inbox, ...o }))
  }

  #at(subject: string): ((m: NatsMessage) => void) | undefined {
    return this.#listening.get(subject) ?? this.#listening.get(subject.replace(/[^.]+$/, '*'))
  }
}

function message(o: {
  subject: string
  reply?: string
  head?: string
  text?: string
  code?: number
  description?: string
}): NatsMessage {
  const block = o.head === undefined ? '' : `NATS/1.0\r\n${o.head}\r\n`
  const rdata = Buffer.from(block + (o.text ?? ''))
  const double = {
    subject: o.subject,
    reply: o.reply ?? '',
    data: rdata.subarray(block.length),
    headers: o.code === undefined ? undefined : { code: o.code, description: o.description ?? '' },
    _msg: { hdr: block === '' ? -1 : block.length },
    _rdata: rdata,
  }
  return double as unknown as NatsMessage
}
