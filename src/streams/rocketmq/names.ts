import { createHash } from 'node:crypto'
import type { Key } from '../../contract/ids.ts'

/** RocketMQ takes 255 letters, digits, `_`, `-`, `%` and `|`. */
const MOST_GROUP = 180
const RETRY = '-retry'

/** Where deliveries of all subscriptions of a topic wait until they are due. */
export function retryTopicOf(topic: string): string {
  return `${topic}${RETRY}`
}

/** The consumer group of a subscription: `<topic>-<kind>_<namespace>_<name>`; what is too long ends with `__` and a digest. */
export function groupOf(topic: string, key: Key): string {
  const own = key.replace(/[^a-z0-9-]/g, (c) => (c === '/' ? '_' : `%${(c.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`))
  const group = `${topic}-${own}`
  if (group.length <= MOST_GROUP) return group
  const digest = createHash('sha256').update(group).digest('hex').slice(0, 16)
  return `${group.slice(0, MOST_GROUP - digest.length - 2)}__${digest}`
}

/** The group that reads what a subscription has waiting in the retry topic. */
export function retryGroupOf(group: string): string {
  return `${group}${RETRY}`
}
