import { inject } from 'vitest'
import { rabbitMqAnswers } from './rabbitmq-clients.ts'

export interface ProvidedKafka {
  readonly bootstrap: string
  /** To be put behind a suite's name: '' when it runs, else why it is skipped. */
  readonly note: string
  readonly skip: boolean
}

/** The Kafka of the run. */
export function sharedKafka(): ProvidedKafka {
  const { bootstrap, missing } = inject('kafka')
  return { bootstrap, skip: bootstrap === '', note: missing === '' ? '' : ` (skipped: ${missing})` }
}

/** Whether a test may start a Kafka of its own: a running one that was given is never killed or reconfigured. */
export function ownKafka(): { readonly note: string; readonly skip: boolean } {
  const { java, missing } = inject('kafka')
  return {
    skip: !java || missing !== '',
    note: java && missing === '' ? '' : ` (skipped: ${missing === '' ? 'needs Java and Maven' : missing})`,
  }
}

/** Whether a test may start a RocketMQ of its own: it needs the same tools. */
export function ownRocketMq(): { readonly note: string; readonly skip: boolean } {
  const { java } = inject('kafka')
  return { skip: !java, note: java ? '' : ' (skipped: needs Java and Maven)' }
}

export interface ProvidedRabbitMq {
  /** `host:port`, user guest/guest. */
  readonly address: string
  readonly note: string
  readonly skip: boolean
  /** It starts when somebody first connects; resolves when it answers. */
  ready(): Promise<void>
}

/** The RabbitMQ of the run. */
export function sharedRabbitMq(): ProvidedRabbitMq {
  const { port, missing } = inject('rabbitmq')
  return {
    address: `127.0.0.1:${port}`,
    skip: missing !== '',
    note: missing === '' ? '' : ` (skipped: ${missing})`,
    ready: () => rabbitMqAnswers(port),
  }
}
