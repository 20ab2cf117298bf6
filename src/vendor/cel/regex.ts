import { RE2JS } from '@bufbuild/re2'

/** A regular expression that never walks back: linear in the text, times `size` at the worst. */
export interface LinearRegex {
  test(text: string): boolean
  /** Instructions of its program. */
  readonly size: number
}

/** Patterns over this many characters are refused: repeats of Unicode classes take long to compile. */
export const LONGEST_PATTERN = 500

/** Compiles a pattern in the syntax of RE2, as CEL has it; throws an Error with what is wrong. */
export function compileRegex(pattern: string): LinearRegex {
  if (pattern.length > LONGEST_PATTERN) throw new Error(`the pattern has more than ${LONGEST_PATTERN} characters`)
  const regex = RE2JS.compile(pattern)
  return { test: (text) => regex.test(text), size: regex.re2().prog.inst.length }
}
