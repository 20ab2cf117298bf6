import type { DetachedState } from '../../contract/delivery.ts'
import type { AttemptStory } from '../../contract/outcome.ts'

/** Header or property of an event that waits in its own system: what is known of its delivery, as `encodeState` writes it. */
export const STATE_NAME = 'sluice-state'

/** Every system takes a header of so many bytes; RocketMQ's properties end at 32 KiB together. */
const MOST_CHARACTERS = 16 * 1024
/** What is left of long texts where the whole would be longer than that. */
const SHORT_TEXT = 60
/** Of a story that is longer even then, so many of the first and of the last attempts are kept. */
const FIRST_KEPT = 4
const LAST_KEPT = 12

/** A state as one line of JSON in ASCII: no system changes it, and a person can read it. */
export function encodeState(s: DetachedState): string {
  const text = asciiJson(s)
  if (text.length <= MOST_CHARACTERS) return text
  const story = s.story.map((a) => ({ ...a, to: cut(a.to), error: cut(a.error) }))
  const short = asciiJson({ ...s, story })
  if (short.length <= MOST_CHARACTERS) return short
  return asciiJson({ ...s, story: [...story.slice(0, FIRST_KEPT), ...story.slice(-LAST_KEPT)] })
}

/** null = it is no state of ours. */
export function decodeState(text: string): DetachedState | null {
  let found: unknown
  try {
    found = JSON.parse(text)
  } catch {
    return null
  }
  if (!isRecord(found)) return null
  const { dueMs, story, phase, reason } = found
  if (!isTime(dueMs) || typeof reason !== 'string' || !Array.isArray(story)) return null
  if (phase !== 'subscriber' && phase !== 'dead-letter') return null
  const attempts: AttemptStory[] = []
  for (const one of story) {
    const attempt = attemptOf(one)
    if (attempt === null) return null
    attempts.push(attempt)
  }
  return { dueMs, story: attempts, phase, reason }
}

function attemptOf(found: unknown): AttemptStory | null {
  if (!isRecord(found)) return null
  const { attempt, atMs, tookMs, to, status, error } = found
  if (!isTime(attempt) || !isTime(atMs) || !isTime(tookMs) || !isTime(status)) return null
  if (typeof to !== 'string' || typeof error !== 'string') return null
  return { attempt, atMs, tookMs, to, status, error }
}

function isRecord(x: unknown): x is Readonly<Record<string, unknown>> {
  return typeof x === 'object' && x !== null && !Array.isArray(x)
}

function isTime(x: unknown): x is number {
  return typeof x === 'number' && x >= 0 && x <= Number.MAX_SAFE_INTEGER
}

function asciiJson(s: DetachedState): string {
  const { dueMs, story, phase, reason } = s
  const text = JSON.stringify({ dueMs, story, phase, reason })
  return text.replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function cut(text: string): string {
  return text.length <= SHORT_TEXT ? text : `${text.slice(0, SHORT_TEXT)}…`
}
