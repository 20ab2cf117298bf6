import { createHash } from 'node:crypto'

/** RocketMQ takes 127 characters; the topic of what waits long has some more than this one. */
const MOST = 120

/**
 * The topic of a Broker or channel: letters, digits, `_` and `-`. A name of Kubernetes may have dots but no `_`, a namespace
 * neither: so two of them never have one topic. What is too long is cut and ends with `__` and a digest.
 */
export function rocketMqTopic(role: 'broker' | 'channel', namespace: string, name: string): string {
  const front = role === 'broker' ? 'knative-broker' : 'knative-messaging-rocketmq'
  const topic = `${front}-${namespace}_${name.replaceAll('.', '_')}`
  if (topic.length <= MOST) return topic
  const digest = createHash('sha256').update(`${namespace}/${name}`).digest('hex').slice(0, 16)
  return `${topic.slice(0, MOST - digest.length - 2)}__${digest}`
}
