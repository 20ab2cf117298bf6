/**
 * The keys of one environment, by first byte. Numbers are big-endian so that keys are ordered as the numbers are.
 * `c` count of commits · `f` format · `l` log state · `e` block of events by first position, time and bytes before it ·
 * `s` where a subscription stands · `n` number and counts of a subscription's kept deliveries ·
 * `d` delayed by number, due time and id · `p` parked by number and id · `x` numbers whose deliveries are being deleted ·
 * `h` head that was routed, up to which caught-up subscriptions stand
 */
export const COMMITS = Buffer.from('c')
export const FORMAT = Buffer.from('f')
export const LOG_STATE = Buffer.from('l')
export const ROUTED = Buffer.from('h')

const BLOCK = 0x65
const SEAT = 0x73
const LINE = 0x6e
const DELAYED = 0x64
const PARKED = 0x70
const FORGOTTEN = 0x78

/** Six bytes hold 281 trillion: enough for positions, wall-clock ms and bytes. */
const NUMBER_BYTES = 6
const BLOCK_KEY_BYTES = 1 + 3 * NUMBER_BYTES

/** The beginning of a block key holds its position, time and how many bytes were appended before it since the stream began. */
export interface BlockKey {
  readonly first: number
  readonly timeMs: number
  readonly bytesBefore: number
}

export function blockKey(k: BlockKey): Buffer {
  const key = Buffer.allocUnsafe(BLOCK_KEY_BYTES)
  key[0] = BLOCK
  key.writeUIntBE(k.first, 1, NUMBER_BYTES)
  key.writeUIntBE(k.timeMs, 1 + NUMBER_BYTES, NUMBER_BYTES)
  key.writeUIntBE(k.bytesBefore, 1 + 2 * NUMBER_BYTES, NUMBER_BYTES)
  return key
}

export function readBlockKey(key: Uint8Array): BlockKey {
  const b = view(key)
  return {
    first: b.readUIntBE(1, NUMBER_BYTES),
    timeMs: b.readUIntBE(1 + NUMBER_BYTES, NUMBER_BYTES),
    bytesBefore: b.readUIntBE(1 + 2 * NUMBER_BYTES, NUMBER_BYTES),
  }
}

/** Lower than the key of every block that begins at `position` or later, above all earlier ones. */
export function blockFrom(position: number): Buffer {
  const key = Buffer.allocUnsafe(1 + NUMBER_BYTES)
  key[0] = BLOCK
  key.writeUIntBE(position, 1, NUMBER_BYTES)
  return key
}

export const BLOCKS_END = Buffer.from([BLOCK + 1])

export function seatKey(name: string): Buffer {
  return Buffer.from(String.fromCharCode(SEAT) + name)
}
export function lineKey(name: string): Buffer {
  return Buffer.from(String.fromCharCode(LINE) + name)
}
/** The name in a seat's or a line's key. */
export function nameOf(key: Uint8Array): string {
  return view(key).toString('utf8', 1)
}
export const SEATS = { from: Buffer.from([SEAT]), to: Buffer.from([SEAT + 1]) }
export const LINES = { from: Buffer.from([LINE]), to: Buffer.from([LINE + 1]) }

export function delayedKey(line: number, dueMs: number, id: number): Buffer {
  const key = Buffer.allocUnsafe(5 + 2 * NUMBER_BYTES)
  key[0] = DELAYED
  key.writeUInt32BE(line, 1)
  key.writeUIntBE(dueMs, 5, NUMBER_BYTES)
  key.writeUIntBE(id, 5 + NUMBER_BYTES, NUMBER_BYTES)
  return key
}
export function readDelayedKey(key: Uint8Array): { readonly line: number; readonly dueMs: number; readonly id: number } {
  const b = view(key)
  return { line: b.readUInt32BE(1), dueMs: b.readUIntBE(5, NUMBER_BYTES), id: b.readUIntBE(5 + NUMBER_BYTES, NUMBER_BYTES) }
}

export function parkedKey(line: number, id: number): Buffer {
  const key = Buffer.allocUnsafe(5 + NUMBER_BYTES)
  key[0] = PARKED
  key.writeUInt32BE(line, 1)
  key.writeUIntBE(id, 5, NUMBER_BYTES)
  return key
}
export function readParkedKey(key: Uint8Array): { readonly line: number; readonly id: number } {
  const b = view(key)
  return { line: b.readUInt32BE(1), id: b.readUIntBE(5, NUMBER_BYTES) }
}

/** Nothing is due after this: the highest time a key can hold. */
export const LAST_MS = 2 ** 47

function view(key: Uint8Array): Buffer {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength)
}

/** Numbers of lines whose kept deliveries are being deleted: finished at the next start when it was cut short. */
export function forgottenKey(line: number): Buffer {
  const key = Buffer.allocUnsafe(5)
  key[0] = FORGOTTEN
  key.writeUInt32BE(line, 1)
  return key
}
export function readForgottenKey(key: Uint8Array): number {
  return view(key).readUInt32BE(1)
}
export const FORGOTTENS = { from: Buffer.from([FORGOTTEN]), to: Buffer.from([FORGOTTEN + 1]) }
