import { z } from 'zod'
import type { FilterExpression } from '../contract/filter.ts'
import { compileFilter } from '../filter/compile.ts'
import { messageOf } from '../runtime/errors.ts'
import { ALWAYS } from './fields.ts'

const MUST_BE_ATTRIBUTE = 'must be an attribute name: lower-case letters and digits, beginning with a letter'
const attributeName = z.string().regex(/^[a-z][a-z0-9]*$/, MUST_BE_ATTRIBUTE)
const wanted = z.record(attributeName, z.string().min(1))

export interface FilterSpec {
  readonly exact?: Readonly<Record<string, string>> | undefined
  readonly prefix?: Readonly<Record<string, string>> | undefined
  readonly suffix?: Readonly<Record<string, string>> | undefined
  readonly all?: readonly FilterSpec[] | undefined
  readonly any?: readonly FilterSpec[] | undefined
  readonly not?: FilterSpec | undefined
  readonly cesql?: string | undefined
  readonly cel?: string | undefined
}

/** Parsed here already, so that a mistake is told with its column before anything runs. */
function parsing(dialect: 'cesql' | 'cel', name: string): z.ZodString {
  return z
    .string()
    .min(1)
    .superRefine((expression, refine) => {
      try {
        compileFilter({ dialect, expression })
      } catch (e) {
        refine.addIssue({ code: 'custom', message: `is no ${name}: ${messageOf(e)}`, input: expression })
      }
    })
}

/** One entry of `spec.filters`: exactly one dialect an object. */
export const FILTER: z.ZodType<FilterSpec> = z
  .strictObject({
    exact: wanted.optional(),
    prefix: wanted.optional(),
    suffix: wanted.optional(),
    get all() {
      return z.array(FILTER).optional()
    },
    get any() {
      return z.array(FILTER).optional()
    },
    get not() {
      return FILTER.optional()
    },
    cesql: parsing('cesql', 'CESQL').optional(),
    cel: parsing('cel', 'CEL').optional(),
  })
  .superRefine((f, refine) => {
    const dialects = Object.entries(f).flatMap(([name, value]) => (value === undefined ? [] : [name]))
    if (dialects.length > 1) {
      refine.addIssue({ code: 'custom', message: `has the dialects ${dialects.join(', ')}; one object may have one`, input: f })
    }
  }, ALWAYS)

/** `spec.filter.attributes`: '' = any value. */
export const ATTRIBUTES = z.record(attributeName, z.string())

/** `spec.filters`: all of them must hold; none = everything. A lone one stands for itself, unless it is a list. */
export function filtersExpression(filters: readonly FilterSpec[]): FilterExpression | null {
  const expressions = filters.map(expression)
  const first = expressions[0]
  if (first === undefined) return null
  return expressions.length === 1 && first.dialect !== 'all' ? first : { dialect: 'all', filters: expressions }
}

/** The old single filter; no attributes = everything. */
export function attributesExpression(attributes: Readonly<Record<string, string>>): FilterExpression | null {
  return Object.keys(attributes).length === 0 ? null : { dialect: 'attributes', attributes }
}

/** An entry that says nothing is an `all` of nothing: the filter room knows that it neither matches nor refuses. */
function expression(f: FilterSpec): FilterExpression {
  for (const dialect of ['exact', 'prefix', 'suffix'] as const) {
    const attributes = f[dialect]
    if (attributes !== undefined) return { dialect, attributes }
  }
  if (f.all !== undefined) return { dialect: 'all', filters: f.all.map(expression) }
  if (f.any !== undefined) return { dialect: 'any', filters: f.any.map(expression) }
  if (f.not !== undefined) return { dialect: 'not', filter: expression(f.not) }
  if (f.cesql !== undefined) return { dialect: 'cesql', expression: f.cesql }
  if (f.cel !== undefined) return { dialect: 'cel', expression: f.cel }
  return { dialect: 'all', filters: [] }
}
