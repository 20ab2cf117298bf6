import type { AttributeValue } from './event.ts'

/** The attribute in which Knative's broker counts passes. It lives in the envelope here and is never shown to a subscriber. */
export const TTL_ATTRIBUTE = 'knativebrokerttl'

/** Passes an event has when nobody said anything. */
export const MOST_PASSES = 255

const WHOLE = /^\s*[+-]?[0-9]{1,15}\s*$/

/**
 * The passes that are left once an event with this attribute has been taken in: absent or unparsable counts as `most`,
 * everything else as one less, never below 0. An ingress refuses what comes out as 0. Knative `pkg/broker/ttl.go`
 */
export function passesLeft(attribute: AttributeValue | undefined, most: number = MOST_PASSES): number {
  let value = attribute
  if (typeof value === 'string' && WHOLE.test(value)) value = Number(value)
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) return most
  return Math.min(Math.max(value - 1, 0), most)
}
