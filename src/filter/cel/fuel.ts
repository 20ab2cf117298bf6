/**
 * What an evaluation may still cost. A unit is about 20 ns of the slowest thing that costs one, measured on a small
 * machine with the code warm: so at most some 2 to 4 ms an evaluation. The very first ones of a process, before the engine
 * has compiled the loops, take several times as long. `test/filter/cel-bounds.test.ts` tries what is worst.
 */
export interface Fuel {
  left: number
  /** The raw JSON that all objects come from: no object has more fields than it has colons. null = none is read. */
  json: Uint8Array | null
}

/** Units of one evaluation: some 6,000 elements with a plain test. */
export const MOST_FUEL = 60_000

/** What a function of the library costs, whatever it does. */
export const LIBRARY_CALL = 500

/** What the parts of a time in a named zone cost: the formatter of the zone is made anew each time. */
export const TIME_ZONE = 4_000

/**
 * Objects of a JSON text with more fields than this cannot be listed: the engine sorts the keys of a large object each
 * time, 25 ms for those of 1 MiB, and nothing tells their number before.
 */
export const MOST_FIELDS = 6_000

/** Thrown where the fuel ends and caught where the evaluation began; one object, for it is thrown on the event path. */
export const OUT_OF_FUEL = new Error(`it takes more than ${MOST_FUEL} steps on this event`)

export function spend(fuel: Fuel, units: number): void {
  if ((fuel.left -= units) < 0) throw OUT_OF_FUEL
}

/** For what runs once over a text or bytes, at about a nanosecond for four of them. */
export function spendOnText(fuel: Fuel, length: number): void {
  if ((fuel.left -= (length >>> 6) + 1) < 0) throw OUT_OF_FUEL
}

const COLON = 0x3a

/** Pays for listing the keys of an object; fails where it might have too many. */
export function spendOnFields(fuel: Fuel): void {
  const json = fuel.json
  if (json === null || json.length <= MOST_FIELDS * 4) return
  spend(fuel, json.length >>> 5)
  let fields = 0
  for (let at = json.indexOf(COLON); at >= 0; at = json.indexOf(COLON, at + 1)) {
    if (++fields > MOST_FIELDS) throw TOO_MANY_FIELDS
  }
  spend(fuel, fields)
  // Counted once an evaluation: the next listing needs no look.
  fuel.json = null
}

export const TOO_MANY_FIELDS = new Error(`data with more than ${MOST_FIELDS} fields cannot be listed, sized or compared as a map`)
