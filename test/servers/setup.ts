import type { TestProject } from 'vitest/node'
import { buildGateway } from './built.ts'
import { whyNoKafka } from './kafka-files.ts'
import { startKafka, type KafkaServer } from './kafka.ts'
import { lazyServer } from './lazy.ts'
import { startRabbitMq, whyNoRabbitMq } from './rabbitmq.ts'
import { startToldRocketMq } from './rocketmq-shared.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Folder of the gateway as it is installed; what end-to-end tests start. */
    readonly built: string
    /** The Kafka all end-to-end tests share; `bootstrap` is '' where there is none, `missing` says why. */
    readonly kafka: { readonly bootstrap: string; readonly missing: string; readonly java: boolean }
    /** The RabbitMQ all share, started when somebody first connects; `missing` says why there is none. */
    readonly rabbitmq: { readonly port: number; readonly missing: string }
    /** Where the address of the RocketMQ all share is told; asking starts it. */
    readonly rocketmq: { readonly port: number }
  }
}

/**
 * Servers that all end-to-end tests share, started once a run. Without Java and Maven the tests that need them are
 * skipped, each saying so in its name; under CI=true that is a failure instead.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const building = buildGateway()
  const bootstrap = process.env['KAFKA_BOOTSTRAP'] ?? ''
  const missing = await whyNoKafka()
  const ci = process.env['CI'] === 'true'
  if (ci && missing !== '') throw new Error(`the Kafka tests cannot run: ${missing}`)
  let server: KafkaServer | null = null
  let why = missing
  if (bootstrap === '' && missing === '') {
    try {
      server = await startKafka()
    } catch (e) {
      if (ci) throw e
      why = `Kafka did not start: ${e instanceof Error ? (e.message.split('\n')[0] ?? '') : String(e)}`
    }
  }
  const shared = bootstrap === '' ? (server?.bootstrap ?? '') : bootstrap
  project.provide('kafka', { bootstrap: shared, missing: shared === '' ? why : '', java: missing === '' })
  const noRabbitMq = whyNoRabbitMq()
  if (ci && noRabbitMq !== '') throw new Error(`the RabbitMQ tests cannot run: ${noRabbitMq}`)
  const rabbitMq = await lazyServer(startRabbitMq)
  project.provide('rabbitmq', { port: rabbitMq.port, missing: noRabbitMq })
  const built = await building
  project.provide('built', built.folder)
  const rocketMq = await lazyServer(startToldRocketMq)
  project.provide('rocketmq', { port: rocketMq.port })
  return async () => {
    await server?.stop()
    await rabbitMq.stop()
    await rocketMq.stop()
    await built.remove()
  }
}
