import { CelFailure, type CelValue, equal, kindOf, mapGet, mapKeyOf } from './values.ts'
import { type Fuel, spend, spendOnText } from './fuel.ts'

/** An operator over values that are no failures; answers undefined where it is none of ours for these types. */
export type Operator = (l: CelValue, r: CelValue, fuel: Fuel) => CelValue

const LARGEST = 2n ** 63n - 1n
const LOWEST = -(2n ** 63n)
const OVERFLOW = new CelFailure('the result is no int of 64 bits')
const NO_DIVISOR = new CelFailure('division by zero')

const NO_SUCH_KEY = new CelFailure('no such key')
const NO_SUCH_INDEX = new CelFailure('no such index in the list')

/** Those on the types that filters use most; all other pairs of types are left to the library. */
export const OPERATORS: Readonly<Record<string, Operator>> = {
  '_==_': (l, r, fuel) => equal(l, r, fuel),
  '_!=_': (l, r, fuel) => !equal(l, r, fuel),
  '_<_': comparison((l, r) => l < r),
  '_<=_': comparison((l, r) => l <= r),
  '_>_': comparison((l, r) => l > r),
  '_>=_': comparison((l, r) => l >= r),
  '_+_': plus,
  '_-_': (l, r) => arithmetic(l, r, (x, y) => inRange(x - y), minusDouble),
  '_*_': (l, r) => arithmetic(l, r, (x, y) => inRange(x * y), timesDouble),
  '_/_': (l, r) => arithmetic(l, r, (x, y) => (y === 0n ? NO_DIVISOR : inRange(x / y)), overDouble),
  '_%_': (l, r) => (typeof l === 'bigint' && typeof r === 'bigint' ? (r === 0n ? NO_DIVISOR : l % r) : undefined),
  '_[_]': index,
  '@in': within,
}

/** The prefix -, undefined where it is none of ours. */
export function negated(v: CelValue): CelValue {
  if (typeof v === 'number') return -v
  return typeof v === 'bigint' ? inRange(-v) : undefined
}

type Ordered = string | number | bigint | boolean

function comparison(holds: (l: Ordered, r: Ordered) => boolean): Operator {
  return (l, r, fuel) => {
    const type = typeof l
    if (type === typeof r) {
      if (type === 'string') spendOnText(fuel, Math.min((l as string).length, (r as string).length) >>> 2)
      const ours = type === 'number' || type === 'string' || type === 'bigint' || type === 'boolean'
      return ours ? holds(l as Ordered, r as Ordered) : undefined
    }
    // An int beside a double is compared as a double, as the other implementations of CEL do.
    if (type === 'number' && typeof r === 'bigint') return holds(l as number, Number(r))
    if (type === 'bigint' && typeof r === 'number') return holds(Number(l as bigint), r)
    return undefined
  }
}

function inRange(n: bigint): bigint | CelFailure {
  return n > LARGEST || n < LOWEST ? OVERFLOW : n
}

const minusDouble = (x: number, y: number): number => x - y
const timesDouble = (x: number, y: number): number => x * y
const overDouble = (x: number, y: number): number => x / y

function arithmetic(
  l: CelValue,
  r: CelValue,
  ints: (x: bigint, y: bigint) => CelValue,
  doubles: (x: number, y: number) => number,
): CelValue {
  if (typeof l === 'number' && typeof r === 'number') return doubles(l, r)
  return typeof l === 'bigint' && typeof r === 'bigint' ? ints(l, r) : undefined
}

function plus(l: CelValue, r: CelValue, fuel: Fuel): CelValue {
  if (typeof l === 'number' && typeof r === 'number') return l + r
  if (typeof l === 'bigint' && typeof r === 'bigint') return inRange(l + r)
  if (typeof l === 'string' && typeof r === 'string') {
    spendOnText(fuel, l.length + r.length)
    return l + r
  }
  if (Array.isArray(l) && Array.isArray(r)) {
    spend(fuel, l.length + r.length)
    return [...(l as readonly CelValue[]), ...(r as readonly CelValue[])]
  }
  if (l instanceof Uint8Array && r instanceof Uint8Array) {
    spendOnText(fuel, l.length + r.length)
    return new Uint8Array(Buffer.concat([l, r]))
  }
  return undefined
}

function index(of: CelValue, key: CelValue, fuel: Fuel): CelValue {
  if (Array.isArray(of)) {
    const at = typeof key === 'bigint' ? key : mapKeyOf(key)
    const found: CelValue = typeof at === 'bigint' ? of[Number(at)] : undefined
    return found === undefined ? NO_SUCH_INDEX : found
  }
  const kind = kindOf(of)
  if (kind !== 'map') return new CelFailure(`a ${kind} has no index`)
  const found = mapGet(of, key, fuel)
  return found === undefined ? NO_SUCH_KEY : found
}

function within(value: CelValue, of: CelValue, fuel: Fuel): CelValue {
  if (Array.isArray(of)) {
    for (const element of of as readonly CelValue[]) {
      spend(fuel, 2)
      if (equal(element, value, fuel)) return true
    }
    return false
  }
  if (kindOf(of) !== 'map') return undefined
  if (mapKeyOf(value) !== undefined) return mapGet(of, value, fuel) !== undefined
  // 3.1 may be asked for, but is no key of any map.
  return typeof value === 'number' ? false : undefined
}
