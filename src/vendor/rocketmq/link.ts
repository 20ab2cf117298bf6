import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { credentials, Metadata, type CallOptions, type ChannelCredentials, type ServiceError } from '@grpc/grpc-js'
import type { Secret } from '../../runtime/secret.ts'
import { errorOfCall } from './errors.ts'
import { getRequestDateTime, sign, stub, type MessagingServiceClient } from './protocol.ts'

/** Access key of a RocketMQ instance. */
export interface RocketMqCredentials {
  readonly accessKey: string
  readonly accessSecret: Secret
}

/** PEM texts; '' = the system's authorities, no client certificate. */
export interface RocketMqTls {
  readonly ca: string
  readonly cert: string
  readonly key: Secret | null
}

/** Version the client gives itself; the proxy wants one and has no language for Node. */
const CLIENT_VERSION = '5.0.8'
const CHANNEL = {
  // A proxy that was away is tried again every few seconds, not after minutes.
  'grpc.initial_reconnect_backoff_ms': 250,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.max_receive_message_length': 64 * 2 ** 20,
}

let clients = 0

/** The gRPC channels of one client and what every call of it carries. */
export class RocketMqLink {
  readonly clientId = `${hostname()}@${process.pid}@${clients++}@${Date.now().toString(36)}`
  readonly #channels = new Map<string, MessagingServiceClient>()
  readonly #credentials: RocketMqCredentials | null
  readonly #security: ChannelCredentials
  readonly #namespace: string

  constructor(namespace: string, access: RocketMqCredentials | null, tls: RocketMqTls | null) {
    this.#namespace = namespace
    this.#credentials = access
    this.#security = tls === null ? credentials.createInsecure() : secured(tls)
  }

  channel(target: string): MessagingServiceClient {
    let channel = this.#channels.get(target)
    if (channel === undefined) {
      channel = new stub.MessagingServiceClient(target, this.#security, CHANNEL)
      this.#channels.set(target, channel)
    }
    return channel
  }

  /** Signed anew for each call: the date is part of the signature. */
  metadata(): Metadata {
    const m = new Metadata()
    const dateTime = getRequestDateTime()
    m.set('x-mq-protocol', 'v2')
    m.set('x-mq-client-id', this.clientId)
    m.set('x-mq-date-time', dateTime)
    m.set('x-mq-request-id', randomUUID())
    m.set('x-mq-language', 'HTTP')
    m.set('x-mq-client-version', CLIENT_VERSION)
    if (this.#namespace !== '') m.set('x-mq-namespace', this.#namespace)
    if (this.#credentials !== null) {
      const { accessKey, accessSecret } = this.#credentials
      const signature = sign(accessSecret.reveal(), dateTime)
      m.set('authorization', `MQv2-HMAC-SHA1 Credential=${accessKey}, SignedHeaders=x-mq-date-time, Signature=${signature}`)
    }
    return m
  }

  /** One call with one answer. Rejects with a RocketMqError. */
  call<Answer>(
    target: string,
    timeoutMs: number,
    send: (
      channel: MessagingServiceClient,
      metadata: Metadata,
      options: CallOptions,
      done: (error: ServiceError | null, answer: Answer) => void,
    ) => void,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + timeoutMs }
      send(this.channel(target), this.metadata(), options, (error, answer) => {
        if (error === null) resolve(answer)
        else reject(errorOfCall(error, target))
      })
    })
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.close()
    this.#channels.clear()
  }
}

function secured(tls: RocketMqTls): ChannelCredentials {
  const ca = tls.ca === '' ? null : Buffer.from(tls.ca)
  if (tls.cert === '' || tls.key === null) return credentials.createSsl(ca)
  return credentials.createSsl(ca, Buffer.from(tls.key.reveal()), Buffer.from(tls.cert))
}
