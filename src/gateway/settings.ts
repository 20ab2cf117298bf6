import type { ImageMapping } from '../resources/images.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

/** Everything a gateway is told at start; the command line makes one of these. */
export interface GatewaySettings {
  readonly paths: readonly string[]
  /** Text of `-f -`. */
  readonly stdin: string
  readonly listen: Address
  readonly admin: Address
  /** Where KEDA asks, null = nowhere. */
  readonly keda: Address | null
  readonly dataDir: string
  /** The data folder outlives the process: what systems cannot keep themselves may be kept there. */
  readonly dataPersistent: boolean
  readonly domain: string
  readonly images: readonly ImageMapping[]
  readonly self: readonly string[]
  readonly graceMs: number
  readonly http: 'uws' | 'node'
  readonly processes: boolean
  /** Token file for an admin port that is not on loopback, '' = none. */
  readonly adminTokenFile: string
  readonly adminInsecure: boolean
  readonly adminHosts: readonly string[]
  readonly metricsDetail: boolean
  /** Spans are sent to the OTLP endpoint of the environment. */
  readonly traces: boolean
  readonly memoryLimitBytes: number
  readonly inherited: { readonly path: string; readonly home: string }
}

export interface GatewayParts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly droppedLogLines: () => number
  /** The store failed: nothing can be promised any more. */
  readonly onFatal: (why: Error) => void
}
