/** What manifests a class needs beside a Broker or a channel, to be lowered. */
export interface ClassNeeds {
  readonly system: string
  readonly manifests: string
  /** apiVersion of its channels, '' = it has none. */
  readonly channelVersion: string
}

const configMap = (name: string, data: Readonly<Record<string, string>>): string =>
  `{apiVersion: v1, kind: ConfigMap, metadata: {name: ${name}, namespace: knative-eventing}, data: ${JSON.stringify(data)}}\n---\n`

/** By the first name of the class. */
export const NEEDS: Readonly<Record<string, ClassNeeds>> = {
  Kafka: {
    system: 'kafka',
    manifests: ['kafka-broker-config', 'kafka-channel-config']
      .map((name) => configMap(name, { 'bootstrap.servers': 'one:9092' }))
      .join(''),
    channelVersion: 'messaging.knative.dev/v1beta1',
  },
  NatsJetStream: {
    system: 'nats',
    manifests: configMap('config-nats', { 'eventing-nats': 'url: nats://one:4222' }),
    channelVersion: 'messaging.knative.dev/v1alpha1',
  },
  RabbitMQBroker: {
    system: 'rabbitmq',
    manifests:
      configMap('config-rabbitmq', { 'auth.secret.ref.name': 'rabbitmq' }) +
      '{apiVersion: v1, kind: Secret, metadata: {name: rabbitmq, namespace: knative-eventing}, stringData: {uri: "amqp://one", username: u, password: p}}\n---\n',
    channelVersion: 'messaging.knative.dev/v1beta1',
  },
  RocketMQ: {
    system: 'rocketmq',
    manifests: configMap('config-rocketmq', {
      endpoints: 'proxy:8081',
      namesrvAddr: 'names:9876',
      // Only such topics have an order.
      'default.topic.type': 'FIFO',
    }),
    channelVersion: 'messaging.knative.dev/v1alpha1',
  },
}
