import { CloudEvent } from '../../event/event.ts'
import { type CelType, isCelType, isCelUint, libraryFunction } from '../../vendor/cel/library.ts'
import { type Fuel, LIBRARY_CALL, spend, spendOnFields, spendOnText } from './fuel.ts'

const sameInLibrary = libraryFunction('_==_', false, 2)

/**
 * Values of CEL as they are here: JSON as `JSON.parse` gives it (an array is a list, a plain object a map, a number a
 * double), int as bigint, uint as the library's CelUint, bytes as Uint8Array, the attributes of an event as a map;
 * a map that an expression writes is a CelMapValue; types, timestamps and durations are the library's.
 */
export type CelValue = unknown

/** The result of what cannot be evaluated; passes through everything but && and ||, which may do without it. */
export class CelFailure {
  readonly why: string
  constructor(why: string) {
    this.why = why
  }
}

export type MapKey = string | bigint | boolean

/** A map written in an expression: by the key in one form for all numbers, with the key as it was written. */
export class CelMapValue {
  readonly entries = new Map<MapKey, readonly [key: CelValue, value: CelValue]>()
}

export type Kind = 'null' | 'bool' | 'int' | 'uint' | 'double' | 'string' | 'bytes' | 'list' | 'map' | 'type' | 'other'

export function kindOf(v: CelValue): Kind {
  switch (typeof v) {
    case 'string':
      return 'string'
    case 'number':
      return 'double'
    case 'boolean':
      return 'bool'
    case 'bigint':
      return 'int'
    default:
      break
  }
  if (v === null) return 'null'
  if (Array.isArray(v)) return 'list'
  // First what data is made of; the library's types are plain objects as well.
  if (Object.getPrototypeOf(v) === Object.prototype) return isCelType(v) ? 'type' : 'map'
  if (v instanceof CelMapValue || v instanceof CloudEvent) return 'map'
  if (v instanceof Uint8Array) return 'bytes'
  if (isCelUint(v)) return 'uint'
  return isCelType(v) ? 'type' : 'other'
}

/** A number as a key of a map, where it may be one: equal numbers of all types are one key. */
export function mapKeyOf(key: CelValue): MapKey | undefined {
  switch (typeof key) {
    case 'string':
    case 'bigint':
    case 'boolean':
      return key
    case 'number':
      return Number.isInteger(key) ? BigInt(key) : undefined
    default:
      return isCelUint(key) ? key.value : undefined
  }
}

/** What a map (of whatever kind) has under a key; undefined = nothing. */
export function mapGet(map: CelValue, key: CelValue, fuel: Fuel): CelValue {
  if (map instanceof CloudEvent) {
    spend(fuel, 8 + map.extensions.length)
    return typeof key === 'string' ? attributeOf(map, key) : undefined
  }
  if (map instanceof CelMapValue) {
    const known = mapKeyOf(key)
    return known === undefined ? undefined : map.entries.get(known)?.[1]
  }
  if (typeof key !== 'string' || !Object.hasOwn(map as object, key)) return undefined
  return (map as Readonly<Record<string, CelValue>>)[key]
}

/** The keys of a map. Their number is known only by listing them, so that is what is paid for. */
export function mapKeys(map: CelValue, fuel: Fuel): readonly CelValue[] {
  let keys: readonly CelValue[]
  if (map instanceof CelMapValue) keys = Array.from(map.entries.values(), ([key]) => key)
  else if (map instanceof CloudEvent) keys = attributeNames(map)
  else {
    spendOnFields(fuel)
    keys = Object.keys(map as object)
  }
  spend(fuel, keys.length * 6 + 10)
  return keys
}

/** An Integer attribute is an int; all others are what they are. */
function attributeOf(event: CloudEvent, name: string): CelValue {
  const value = event.attribute(name)
  return typeof value === 'number' ? BigInt(value) : value
}

const CONTEXT = ['specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema', 'schemaurl']

function attributeNames(event: CloudEvent): readonly string[] {
  const names = CONTEXT.filter((name) => event.attribute(name) !== undefined)
  for (const [name] of event.extensions) if (!names.includes(name)) names.push(name)
  return names
}

/** Equality of CEL: numbers across types, lists and maps by what is in them, else false for different types. */
export function equal(l: CelValue, r: CelValue, fuel: Fuel): boolean {
  if (typeof l === 'string' && typeof r === 'string') {
    if (l.length !== r.length) return false
    spendOnText(fuel, l.length >>> 2)
    return l === r
  }
  if (l === r) return true
  if (typeof l === 'number' && typeof r === 'number') return false
  const x = isCelUint(l) ? l.value : l
  const y = isCelUint(r) ? r.value : r
  if ((typeof x === 'number' || typeof x === 'bigint') && (typeof y === 'number' || typeof y === 'bigint')) return x == y
  if (typeof l !== 'object' || typeof r !== 'object' || l === null || r === null) return false
  spend(fuel, 2)
  const kind = kindOf(l)
  if (kind !== kindOf(r)) return false
  switch (kind) {
    case 'list':
      return equalLists(l as readonly CelValue[], r as readonly CelValue[], fuel)
    case 'map':
      return equalMaps(l, r, fuel)
    case 'bytes':
      spendOnText(fuel, (l as Uint8Array).length)
      return Buffer.compare(l as Uint8Array, r as Uint8Array) === 0
    case 'type':
      return (l as CelType).name === (r as CelType).name
    default:
      // Timestamps and durations, which the library knows.
      spend(fuel, LIBRARY_CALL)
      return sameInLibrary.call(undefined, [l, r]) === true
  }
}

function equalLists(l: readonly CelValue[], r: readonly CelValue[], fuel: Fuel): boolean {
  if (l.length !== r.length) return false
  for (let i = 0; i < l.length; i++) {
    spend(fuel, 1)
    if (!equal(l[i], r[i], fuel)) return false
  }
  return true
}

function equalMaps(l: CelValue, r: CelValue, fuel: Fuel): boolean {
  const keys = mapKeys(l, fuel)
  if (keys.length !== mapKeys(r, fuel).length) return false
  for (const key of keys) {
    spend(fuel, 3)
    const other = mapGet(r, key, fuel)
    if (other === undefined || !equal(mapGet(l, key, fuel), other, fuel)) return false
  }
  return true
}
