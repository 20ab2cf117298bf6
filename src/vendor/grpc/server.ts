import {
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'

export type RefusalCode = 'INVALID_ARGUMENT' | 'NOT_FOUND' | 'UNAVAILABLE'

/** Thrown by a method: the caller gets the code and the sentence. */
export class GrpcRefusal extends Error {
  readonly code: RefusalCode
  constructor(code: RefusalCode, message: string) {
    super(message)
    this.name = 'GrpcRefusal'
    this.code = code
  }
}

/** Methods of one service over bytes: who opens the server brings the codec. */
export interface GrpcService {
  /** With its package, e.g. `externalscaler.ExternalScaler`. */
  readonly name: string
  readonly unary: Readonly<Record<string, (request: Uint8Array) => Uint8Array>>
  /** Goes on until the caller leaves; then what it returned is called. */
  readonly streams: Readonly<Record<string, (request: Uint8Array, write: (answer: Uint8Array) => void) => () => void>>
}

export interface GrpcServer {
  /** `host:port` as it listens. */
  readonly address: string
  close(): Promise<void>
}

/** How long calls may take to end at `close`. */
const CLOSE_MS = 500

/** A gRPC server without TLS. Rejects where it cannot listen. */
export async function openGrpcServer(host: string, port: number, service: GrpcService): Promise<GrpcServer> {
  const server = new Server()
  server.addService(definitionOf(service), implementationOf(service))
  const at = host.includes(':') ? `[${host}]` : host
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${at}:${port}`, ServerCredentials.createInsecure(), (e, picked) => {
      if (e === null) resolve(picked)
      else reject(e)
    })
  })
  return {
    address: `${at}:${bound}`,
    close: () =>
      new Promise((resolve) => {
        // Streams have no end of their own: who does not leave is cut off.
        const late = setTimeout(() => server.forceShutdown(), CLOSE_MS)
        server.tryShutdown(() => {
          clearTimeout(late)
          resolve()
        })
      }),
  }
}

function definitionOf(service: GrpcService): ServiceDefinition {
  const same = (bytes: Uint8Array): Buffer => Buffer.from(bytes)
  const method = (name: string, responseStream: boolean): ServiceDefinition[string] => ({
    path: `/${service.name}/${name}`,
    requestStream: false,
    responseStream,
    requestSerialize: same,
    requestDeserialize: (b: Buffer) => b,
    responseSerialize: same,
    responseDeserialize: (b: Buffer) => b,
  })
  return Object.fromEntries([
    ...Object.keys(service.unary).map((name) => [name, method(name, false)] as const),
    ...Object.keys(service.streams).map((name) => [name, method(name, true)] as const),
  ])
}

function implementationOf(service: GrpcService): UntypedServiceImplementation {
  const implementation: UntypedServiceImplementation = {}
  for (const [name, handle] of Object.entries(service.unary)) {
    implementation[name] = (call: ServerUnaryCall<Buffer, Uint8Array>, done: sendUnaryData<Uint8Array>): void => {
      try {
        done(null, handle(call.request))
      } catch (e) {
        done(statusOf(e))
      }
    }
  }
  for (const [name, handle] of Object.entries(service.streams)) {
    implementation[name] = (call: ServerWritableStream<Buffer, Uint8Array>): void => {
      try {
        const left = handle(call.request, (answer) => void call.write(answer))
        call.once('cancelled', left)
        call.once('close', left)
      } catch (e) {
        call.emit('error', statusOf(e))
      }
    }
  }
  return implementation
}

function statusOf(e: unknown): { code: status; details: string } {
  if (e instanceof GrpcRefusal) return { code: status[e.code], details: e.message }
  return { code: status.INTERNAL, details: e instanceof Error ? e.message : String(e) }
}
