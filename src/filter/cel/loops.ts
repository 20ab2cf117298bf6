import { spend } from './fuel.ts'
import { type Code, type Frame, asFailure } from './frame.ts'
import { CelFailure, type CelValue, kindOf, mapKeys } from './values.ts'

/** A macro over a list or the keys of a map, compiled. */
export interface Loop {
  readonly range: Code
  readonly item: number
  readonly test: Code | null
  readonly transform: Code | null
  /** What a step costs; loops within it pay for their own steps beside. */
  readonly stepUnits: number
}

/** The elements of a list or the keys of a map. */
function elementsOf(loop: Loop, frame: Frame): readonly CelValue[] | CelFailure {
  const range = loop.range(frame)
  if (range instanceof CelFailure) return range
  if (Array.isArray(range)) return range as readonly CelValue[]
  return kindOf(range) === 'map' ? mapKeys(range, frame) : new CelFailure(`a ${kindOf(range)} has no elements`)
}

/** `exists` ends at the first true, `all` at the first false; a failing test counts only where nothing ends it. */
export function search(loop: Loop, settling: boolean): Code {
  const test = loop.test!
  return (frame) => {
    const elements = elementsOf(loop, frame)
    if (elements instanceof CelFailure) return elements
    let failure: CelFailure | null = null
    for (let i = 0; i < elements.length; i++) {
      spend(frame, loop.stepUnits)
      frame.items[loop.item] = elements[i]
      const value = test(frame)
      if (value === settling) return settling
      if (value !== !settling) failure ??= asFailure(value, settling ? 'exists' : 'all')
    }
    return failure ?? !settling
  }
}

export function existsOne(loop: Loop): Code {
  return (frame) => {
    const elements = elementsOf(loop, frame)
    if (elements instanceof CelFailure) return elements
    let found = 0
    for (let i = 0; i < elements.length; i++) {
      spend(frame, loop.stepUnits)
      frame.items[loop.item] = elements[i]
      const value = loop.test!(frame)
      if (value === true) found++
      else if (value !== false) return asFailure(value, 'exists_one')
    }
    return found === 1
  }
}

export function mapped(loop: Loop): Code {
  const transform = loop.transform!
  return (frame) => {
    const elements = elementsOf(loop, frame)
    if (elements instanceof CelFailure) return elements
    const out: CelValue[] = []
    for (let i = 0; i < elements.length; i++) {
      // What is kept costs the collector as well.
      spend(frame, loop.stepUnits + 5)
      frame.items[loop.item] = elements[i]
      const taken = loop.test === null ? true : loop.test(frame)
      if (taken === false) continue
      if (taken !== true) return asFailure(taken, 'filter')
      const value = transform(frame)
      if (value instanceof CelFailure) return value
      out.push(value)
    }
    return out
  }
}
