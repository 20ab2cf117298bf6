/**
 * What an evaluation may still cost. A unit is about 20 ns of the slowest thing that costs one, measured on a small
 * machine (`test/filter/cel-bounds.test.ts` holds it to the 10 ms an expression may take at most).
 */
export interface Fuel {
  left: number
}

/** Units of one evaluation: some 10,000 elements with a plain test. */
export const MOST_FUEL = 200_000

/** What a function of the library costs, whatever it does. */
export const LIBRARY_CALL = 300

/** Thrown where the fuel ends and caught where the evaluation began; one object, for it is thrown on the event path. */
export const OUT_OF_FUEL = new Error(`it takes more than ${MOST_FUEL} steps on this event`)

export function spend(fuel: Fuel, units: number): void {
  if ((fuel.left -= units) < 0) throw OUT_OF_FUEL
}

/** For what runs once over a text or bytes: comparing, copying, decoding. */
export function spendOnText(fuel: Fuel, length: number): void {
  if ((fuel.left -= (length >>> 6) + 1) < 0) throw OUT_OF_FUEL
}
