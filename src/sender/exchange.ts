import type { Origin } from '../contract/target.ts'

/**
 * One request and its answer, as both lanes know it. The callers (an attempt of an event, a proxied request) are classes
 * that implement it, so that a request costs no closures.
 *
 * ```
 *   send → [connecting] → opened → head → data* → ended        the answer came whole
 *                └────────────┴──────┴──────┴──→ failed        it did not, or `line.abort()` was called
 * ```
 * Exactly one of `ended` and `failed` is called, last, when the exchange no longer occupies the other side's connection.
 * Nothing is called synchronously within `Lane.send`.
 */
export interface Exchange {
  readonly origin: Origin
  readonly method: string
  /** Path and query as they go into the request line; already checked for what must not stand there. */
  readonly path: string
  /** Its connection while it runs; set by the lane, null before and after. */
  line: Line | null
  /** The whole body, null = none, or it is streamed. */
  readonly body: Uint8Array | null
  /** The body comes by `Line.write` after `opened`. `bodyLength` −1 = unknown. */
  readonly streamed: boolean
  readonly bodyLength: number
  /** May go out once more on a fresh connection when a reused one was closed before any byte of an answer. */
  readonly repeatable: boolean
  /** Request line and headers, each line with its CRLF, with Host, without the framing of the body and the empty line. */
  headText(): string
  /** From now on bytes of it may have reached the other side; called again when it is repeated. */
  opened(): void
  /** The final answer's head; `head` is only valid during the call. */
  head(head: AnswerHead): void
  /** Bytes `from` to `to` are body; `bytes` is reused after the call. */
  data(bytes: Uint8Array, from: number, to: number): void
  /** Room again after `Line.write` said false. */
  drained(): void
  /** `trailers`: name, value, … mostly empty. */
  ended(trailers: readonly string[]): void
  /** `why` is a sentence without a full stop. */
  failed(why: string): void
}

/** The head of an answer, read as far as somebody asks. */
export interface AnswerHead {
  readonly status: number
  /** It has a `ce-` header or a content type of CloudEvents. */
  readonly claimsEvent: boolean
  /** The value as it came, '' = none. */
  retryAfter(): string
  /** Every header: lower-case name, value as latin1 text, … */
  list(): string[]
}

/** The connection of a running exchange. */
export interface Line {
  /** The bytes are the line's until they are written. false = wait for `Exchange.drained`. */
  write(chunk: Uint8Array): boolean
  endBody(): void
  /** Stops and restarts `Exchange.data`; what is read already still comes. */
  pause(): void
  resume(): void
  /** Tells the other side that nobody waits for the answer any more, and goes on reading where the lane can. */
  giveUp(): void
  /** Destroys the connection; `failed` follows, not within this call. */
  abort(): void
}

export interface Lane {
  send(x: Exchange): void
  stats(): LaneStats
  /** Destroys every connection; what runs fails. */
  close(): void
}

export interface LaneStats {
  readonly connections: number
  readonly idle: number
}

/** What a lane may spend on one answer; bytes and ms. One table, so that both lanes hold the same limits. */
export const LIMITS = Object.freeze({
  /** Status line and headers of an answer. */
  headBytes: 65_536,
  trailerBytes: 8_192,
  /** Interim answers (1xx) before the final one. */
  interims: 32,
  /** Size line of a chunk with its extensions. */
  chunkLineBytes: 4_096,
  connectMs: 10_000,
  /** An idle connection is closed by then unless the server said how long it keeps it. Node closes after 5 s. */
  idleMs: 4_000,
  longestIdleMs: 60_000,
})
