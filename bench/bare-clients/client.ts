import type { BareLaneOptions } from '../bare-lane.ts'
import type { BareLane } from '../bare-lane.ts'

/** Where a bare client publishes to or reads from. */
export interface Place {
  /** Address of the system, or a folder. */
  readonly address: string
  /** Topic, queue or stream. */
  readonly name: string
  readonly partitions: number
}

/** Name and value of a header, as HTTP has them (`ce-id`, `content-type`). */
export type Header = readonly [string, string]

/** Takes one event; `token` comes back when the system has it for good. */
export type Publish<T> = (headers: readonly Header[], body: Buffer, token: T) => void

/** Makes a lane that tells this consumer what was answered and when more is wanted. */
export type MakeLane = <T>(o: Pick<BareLaneOptions<T>, 'done' | 'low'>) => BareLane<T>

/** The client library of a system as its own documentation has it used, with nothing of ours around it. */
export interface BareClient {
  /** Makes the place where it is not there. */
  publisher<T>(place: Place, stored: (token: T) => void): Promise<Publish<T>>
  /** Reads from the first event on, and settles what was answered. */
  consumer(place: Place, lane: MakeLane): Promise<void>
}

/** Lines of HTTP headers. */
export function linesOf(headers: readonly Header[]): string {
  let text = ''
  for (const [name, value] of headers) text += `${name}: ${value}\r\n`
  return text
}

/** Names of a system's headers as HTTP's, each worked out once. */
export function httpNames(prefix: string): (name: string) => string {
  const known = new Map<string, string>()
  return (name) => {
    let header = known.get(name)
    if (header === undefined) known.set(name, (header = name.startsWith(prefix) ? `ce-${name.slice(prefix.length)}` : name))
    return header
  }
}
