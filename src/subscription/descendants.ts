import { createHash } from 'node:crypto'
import type { CloudEvent } from '../event/event.ts'

/** Descendants one event may have: whatever branches and answers itself ends here, long before its passes are used up. DESIGN §5 */
const MOST_DESCENDANTS = 10_000
/** A dead letter of an event that has too many may still be kept, up to as many again. */
const MOST_WITH_DEAD_LETTERS = 2 * MOST_DESCENDANTS
/** Events whose descendants are counted at a time: twice this at most, those that nothing came of lately are forgotten. */
const GENERATION = 8_192
const LONGEST_ROOT = 96

/** What all descendants of an event carry; with the time, as some producers give every event the same id. */
export function rootOf(event: CloudEvent): string {
  const text = `${event.envelope.receivedMs.toString(36)} ${event.id} ${event.source}`
  return text.length <= LONGEST_ROOT ? text : createHash('sha1').update(text).digest('base64')
}

/** How many events came of one event, per gateway and process run; a restart counts anew, the passes go on. */
export class Descendants {
  #young = new Map<string, number>()
  #old = new Map<string, number>()

  /** One more; false = too many, it must not be passed on. */
  add(root: string, deadLetter: boolean): boolean {
    const count = (this.#young.get(root) ?? this.#old.get(root) ?? 0) + 1
    if (count > (deadLetter ? MOST_WITH_DEAD_LETTERS : MOST_DESCENDANTS)) return false
    if (this.#young.size >= GENERATION && !this.#young.has(root)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(root, count)
    return true
  }
}
