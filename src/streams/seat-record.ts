import { Fault } from '../runtime/errors.ts'
import type { Position } from '../contract/delivery.ts'

/**
 * Where a subscription stands, as it is stored. One that is caught up stands at the head of the commit in which it is
 * found, so that an event it does not match costs it no write.
 */
export interface SeatRecord {
  /** Next position to read; not meant while `atHead`. */
  readonly next: Position
  readonly atHead: boolean
  /** Lowest unsettled position, 0 = none. */
  readonly floor: Position
  /** Run lengths from the floor on: unsettled, settled, …, at most 65,536 positions in all. */
  readonly runs: readonly number[]
}

const FORMAT = 1
const HEAD_BYTES = 14

/** Version, flags, next and floor (six bytes each, big-endian), then the runs as variable-length integers. */
export function encodeSeat(r: SeatRecord): Buffer {
  const b = Buffer.allocUnsafe(HEAD_BYTES + r.runs.length * 3)
  b[0] = FORMAT
  b[1] = r.atHead ? 1 : 0
  b.writeUIntBE(r.next, 2, 6)
  b.writeUIntBE(r.floor, 8, 6)
  let at = HEAD_BYTES
  for (const run of r.runs) {
    let n = run
    while (n > 127) {
      b[at++] = (n & 127) | 128
      n >>>= 7
    }
    b[at++] = n
  }
  return b.subarray(0, at)
}

export function decodeSeat(bytes: Uint8Array): SeatRecord {
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (b[0] !== FORMAT)
    throw new Fault('store.format', `a subscription's position has format ${b[0]}, this version reads ${FORMAT}`)
  const runs: number[] = []
  let n = 0
  let shift = 0
  for (let i = HEAD_BYTES; i < b.length; i++) {
    n |= (b[i]! & 127) << shift
    if (b[i]! < 128) {
      runs.push(n)
      n = shift = 0
    } else shift += 7
  }
  return { atHead: b[1] === 1, next: b.readUIntBE(2, 6), floor: b.readUIntBE(8, 6), runs }
}
