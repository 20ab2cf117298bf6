import { ANY_LIST, ANY_MAP, LibraryFailure, libraryFunction } from '../../vendor/cel/library.ts'
import { type LinearRegex, compileRegex } from '../../vendor/cel/regex.ts'
import { indexOfText } from '../text-search.ts'
import { type Fuel, LIBRARY_CALL, TIME_ZONE, spend, spendOnText } from './fuel.ts'
import { CelFailure, type CelValue, kindOf, mapKeys } from './values.ts'

/** A function over values that are no failures. `target` is undefined where it is called as a plain function. */
export type CelFunction = (target: CelValue, args: readonly CelValue[], fuel: Fuel) => CelValue

/** Texts longer than this are no number, time, duration or truth; the library would take long to say so. */
const LONGEST_CONVERTED = 256
const CONVERSIONS = new Set(['int', 'uint', 'double', 'bool', 'timestamp', 'duration'])
/** Up to here the engine's own search is linear enough. */
const SHORT_NEEDLE = 4
/** A regular expression may visit each of its instructions for each character. */
const REGEX_UNITS = 6

/**
 * The function of a name. Those whose time depends on long texts, lists or maps are ours and pay for it, all others are
 * the library's. Throws an Error for a pattern that is no regular expression.
 */
export function celFunction(name: string, method: boolean, args: readonly CelArgument[]): CelFunction {
  const library = fromLibrary(name, method, args.length)
  if (method && args.length === 1) {
    if (name === 'matches') return matches(args[0]!, library)
    const onTexts = ON_TEXTS[name]
    if (onTexts !== undefined) {
      return (target, values, fuel) => {
        const [other] = values
        return typeof target === 'string' && typeof other === 'string'
          ? onTexts(target, other, fuel)
          : library(target, values, fuel)
      }
    }
  }
  if (name === 'size' && args.length === (method ? 0 : 1)) {
    return (target, values, fuel) => sizeOf(method ? target : values[0], fuel) ?? library(target, values, fuel)
  }
  if (name === 'dyn' && !method && args.length === 1) return (_target, values) => values[0]
  return library
}

/** What is known of an argument when the expression is compiled: its value, where it is a constant. */
export interface CelArgument {
  readonly constant: CelValue
}

const ON_TEXTS: Readonly<Record<string, (text: string, other: string, fuel: Fuel) => boolean>> = {
  contains(text, other, fuel) {
    // What takes longest is a text of the needle's own first characters: 10 ns for each, 20 where the needle is long.
    spend(fuel, (text.length >>> 1) + (other.length > SHORT_NEEDLE ? text.length : 0) + other.length + 1)
    return indexOfText(text, other) >= 0
  },
  startsWith(text, other, fuel) {
    spendOnText(fuel, other.length)
    return text.startsWith(other)
  },
  endsWith(text, other, fuel) {
    spendOnText(fuel, other.length)
    return text.endsWith(other)
  },
}

function sizeOf(v: CelValue, fuel: Fuel): CelValue {
  switch (kindOf(v)) {
    case 'string':
      spendOnText(fuel, (v as string).length * 16)
      return BigInt(characters(v as string))
    case 'list':
      return BigInt((v as readonly CelValue[]).length)
    case 'map':
      return BigInt(mapKeys(v, fuel).length)
    case 'bytes':
      return BigInt((v as Uint8Array).length)
    default:
      return undefined
  }
}

function characters(text: string): number {
  let count = text.length
  for (let i = 0; i + 1 < text.length; i++) {
    const isPair = (text.charCodeAt(i) & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00
    if (isPair) {
      count--
      i++
    }
  }
  return count
}

/** The pattern is compiled once; one that comes with the event would be compiled on its path and is refused. */
function matches(pattern: CelArgument, library: CelFunction): CelFunction {
  if (typeof pattern.constant !== 'string') {
    const refused = new CelFailure('the pattern of matches must be written in the expression')
    return (target, values, fuel) => (typeof values[0] === 'string' ? refused : library(target, values, fuel))
  }
  const simple = simplePattern(pattern.constant)
  const regex: LinearRegex | null = simple === null ? compileRegex(pattern.constant) : null
  return (target, values, fuel) => {
    if (typeof target !== 'string') return library(target, values, fuel)
    if (simple !== null) return simple(target, fuel)
    spend(fuel, target.length * regex!.size * REGEX_UNITS + LIBRARY_CALL)
    return regex!.test(target)
  }
}

/** Patterns that are a text with or without anchors need no regular expression, and cost next to nothing. */
function simplePattern(pattern: string): ((text: string, fuel: Fuel) => boolean) | null {
  const found = /^(\^?)([A-Za-z0-9 _/:,;@#=<>&%'"!~-]*)(\$?)$/.exec(pattern)
  if (found === null) return null
  const [, start, text = '', end] = found
  if (start === '' && end === '') return (t, fuel) => ON_TEXTS['contains']!(t, text, fuel)
  if (start === '') return (t, fuel) => ON_TEXTS['endsWith']!(t, text, fuel)
  return end === '' ? (t, fuel) => ON_TEXTS['startsWith']!(t, text, fuel) : (t) => t === text
}

function fromLibrary(name: string, method: boolean, args: number): CelFunction {
  const called = libraryFunction(name, method, args)
  const inZone = method && args === 1 && name.startsWith('get')
  // The first time zone of a process takes 20 ms: here, where no event waits for it.
  if (inZone) called.call(libraryFunction('timestamp', false, 1).call(undefined, [0n]), ['Europe/Berlin'])
  return (target, values, fuel) => {
    spend(fuel, inZone ? TIME_ZONE : LIBRARY_CALL)
    if (CONVERSIONS.has(name)) {
      const [v] = values
      if (typeof v === 'string' && v.length > LONGEST_CONVERTED)
        return new CelFailure(`${name}() of a text of ${v.length} characters`)
    }
    const result = called.call(
      shown(target, fuel),
      values.map((v) => shown(v, fuel)),
    )
    return result instanceof LibraryFailure ? new CelFailure(result.why) : result
  }
}

/** A value as the library may see it: of lists and maps only that they are such. */
function shown(v: CelValue, fuel: Fuel): CelValue {
  if (typeof v === 'string') spendOnText(fuel, v.length * 8)
  if (typeof v !== 'object' || v === null) return v
  const kind = kindOf(v)
  if (kind === 'bytes') spendOnText(fuel, (v as Uint8Array).length * 8)
  if (kind === 'list') return ANY_LIST
  return kind === 'map' ? ANY_MAP : v
}
