import { z } from 'zod'
import { defineKind, version } from './kind.ts'
import { CLUSTER_REFERENCE, type ClusterReference } from './rabbitmq-cluster.ts'

export interface RabbitMqBrokerConfigSpec {
  readonly cluster: ClusterReference
  readonly queueType: 'quorum' | 'classic'
  /** '' = not said. */
  readonly vhost: string
}

/** RabbitmqBrokerConfig: what `spec.config` of a Broker of class RabbitMQBroker names. */
export const rabbitMqBrokerConfig = defineKind<RabbitMqBrokerConfigSpec>({
  kind: 'RabbitmqBrokerConfig',
  plural: 'rabbitmqbrokerconfigs',
  versions: {
    'eventing.knative.dev/v1alpha1': version(
      {
        spec: z.strictObject({
          rabbitmqClusterReference: CLUSTER_REFERENCE,
          queueType: z.enum(['quorum', 'classic']).optional(),
          vhost: z.string().optional(),
        }),
      },
      ({ spec }): RabbitMqBrokerConfigSpec => ({
        cluster: spec.rabbitmqClusterReference,
        queueType: spec.queueType ?? 'quorum',
        vhost: spec.vhost ?? '',
      }),
    ),
  },
})
