/** Sound manifests of every kind in every version that was ever served, all the fields of each at least once. */
export const SAMPLES = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {a: b}}
data: {GREETING: hello}
immutable: true
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: knative-serving}
data: {_example: "ignored", stable-window: 40s, container-concurrency-target-percentage: "0.8", enable-scale-to-zero: "false"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-br-defaults, namespace: knative-eventing}
data:
  default-br-config: |
    clusterDefault: {brokerClass: MTChannelBasedBroker, delivery: {retry: 5, backoffDelay: PT1S, backoffPolicy: linear}}
    namespaceDefaults: {other: {brokerClass: Kafka}}
---
apiVersion: v1
kind: Secret
metadata: {name: credentials}
type: Opaque
data: {user: YWxpY2U=, password: aHVudGVyMg==}
stringData: {authorization: Bearer tr0ub4dor}
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata:
  name: default
  uid: 11111111-2222-3333-4444-555555555555
  resourceVersion: "7"
  annotations: {eventing.knative.dev/broker.class: MTChannelBasedBroker, sluice.dev/dedup-window: 10m, sluice.dev/max-bytes: 2Gi}
spec:
  config: {apiVersion: v1, kind: ConfigMap, name: config-br-default-channel, namespace: knative-eventing}
  delivery: {retry: 3, backoffPolicy: exponential, backoffDelay: PT0.5S, timeout: PT5S, retryAfterMax: PT2M, format: json, deadLetterSink: {uri: http://dead.example}}
status: {anything: at all}
---
apiVersion: eventing.knative.dev/v1beta1
kind: Broker
metadata: {name: beta}
spec: {delivery: {deadLetterSink: {ref: {apiVersion: v1, kind: Service, name: dead}}}}
---
apiVersion: eventing.knative.dev/v1alpha1
kind: Broker
metadata: {name: alpha}
spec: {channelTemplateSpec: {apiVersion: messaging.knative.dev/v1alpha1, kind: InMemoryChannel}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: all-filters
  annotations:
    sluice.dev/max-concurrency: "8"
    sluice.dev/rate: 50/s
    sluice.dev/delivery-order: key
    sluice.dev/on-park: stop
    sluice.dev/start: "2026-11-01T00:00:00Z"
    sluice.dev/backoff-max: 1m
    sluice.dev/headers-from-secret: credentials
    sluice.dev/batch-max: "10"
    sluice.dev/batch-wait: 200ms
    sluice.dev/ack: callback
spec:
  broker: default
  filter: {attributes: {type: ignored}}
  filters:
    - exact: {type: a}
    - any: [{prefix: {source: /x}}, {not: {suffix: {subject: .y}}}]
    - all: [{cesql: "id = '1'"}, {cel: "ce.type == 'a'"}]
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: shown}, uri: /in?x=1, CACerts: PEM, audience: me}
  delivery: {retry: 1}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: by-ref}
spec:
  brokerRef: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default, namespace: default}
  subscriber: {uri: http://elsewhere.example/in}
---
apiVersion: eventing.knative.dev/v1beta1
kind: Trigger
metadata: {name: beta}
spec:
  filter: {attributes: {type: a}}
  subscriber: {apiVersion: serving.knative.dev/v1, kind: Service, name: shown}
---
apiVersion: eventing.knative.dev/v1alpha1
kind: Trigger
metadata: {name: alpha}
spec:
  filter: {sourceAndType: {source: /s, type: Any}}
  subscriber: {dnsName: old.example}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: shown
  annotations: {networking.knative.dev/flow-controller.class: strict, sluice.dev/drain-target: 20s}
spec:
  template:
    metadata:
      name: shown-one
      labels: {app: shown}
      annotations: {autoscaling.knative.dev/min-scale: "1", autoscaling.knative.dev/target: "20"}
    spec:
      containerConcurrency: 10
      timeoutSeconds: 60
      serviceAccountName: default
      containers:
        - name: user-container
          image: registry.example.com/shown:v1
          command: [node, server.js]
          args: [--greeting, $(GREETING)]
          workingDir: /srv
          envFrom: [{configMapRef: {name: settings}}]
          env:
            - {name: PASSWORD, valueFrom: {secretKeyRef: {name: credentials, key: password}}}
            - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
          ports: [{containerPort: 8080, name: http1, protocol: TCP}]
          readinessProbe: {httpGet: {path: /ready, port: 8080, httpHeaders: [{name: X-Probe, value: "1"}]}, periodSeconds: 2, initialDelaySeconds: 1, successThreshold: 1}
          resources: {limits: {cpu: "1"}}
  traffic: [{latestRevision: true, percent: 90}, {revisionName: shown-zero, percent: 10, tag: old}]
---
apiVersion: serving.knative.dev/v1beta1
kind: Service
metadata: {name: beta, labels: {networking.knative.dev/visibility: cluster-local}}
spec: {template: {spec: {containers: [{image: registry.example.com/beta}]}}}
---
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata: {name: kafka, labels: {kafkasources.sources.knative.dev/key-type: int}}
spec:
  bootstrapServers: ["a.example:9092"]
  topics: [orders]
  consumerGroup: g
  initialOffset: earliest
  consumers: 3
  ordering: unordered
  ceOverrides: {extensions: {sluice: "yes"}}
  delivery: {retry: 2}
  net:
    sasl: {enable: true, user: {secretKeyRef: {name: credentials, key: user}}, password: {secretKeyRef: {name: credentials, key: password}}, type: {}}
    tls: {enable: true, caCert: {}, cert: {}, key: {}}
  sink: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}
---
apiVersion: sources.knative.dev/v1beta1
kind: KafkaSource
metadata: {name: beta}
spec: {bootstrapServers: ["a.example:9092"], topics: [orders], sink: {uri: http://127.0.0.1:8080/default/default}}
---
apiVersion: sources.knative.dev/v1alpha1
kind: KafkaSource
metadata:
  name: flat
  annotations: {k8s.aliyun.com/domain: shown.default.example.com, k8s.aliyun.com/retry-count: "5", k8s.aliyun.com/retry-interval: "2", k8s.aliyun.com/req-timeout: "60"}
spec: {bootstrapServers: "a.example:9092,b.example:9092", topics: orders, consumerGroup: flat, sink: {uri: http://127.0.0.1:8080}}
---
apiVersion: sources.eventing.knative.dev/v1alpha1
kind: KafkaSource
metadata: {name: oldest}
spec: {bootstrapServers: "a.example:9092", topics: orders, sink: {apiVersion: eventing.knative.dev/v1alpha1, kind: Broker, name: default}}
---
apiVersion: sources.knative.dev/v1alpha1
kind: RocketMQSource
metadata: {name: rocket}
spec: {topic: orders, groupName: g, endpoints: 'a.example:8081', sink: {uri: http://127.0.0.1:8080/default/default}}
---
apiVersion: sources.eventing.knative.dev/v1alpha1
kind: RocketMQSource
metadata: {name: rocket-oldest}
spec: {topic: orders, groupName: g, namesrvAddr: 'a.example:8081', tag: paid, sink: {apiVersion: eventing.knative.dev/v1alpha1, kind: Broker, name: default}}
---
apiVersion: messaging.knative.dev/v1
kind: Channel
metadata: {name: channel}
spec: {channelTemplate: {apiVersion: messaging.knative.dev/v1beta1, kind: KafkaChannel, spec: {numPartitions: 3}}, delivery: {retry: 4}}
---
apiVersion: messaging.knative.dev/v1beta1
kind: Channel
metadata: {name: channel-beta}
---
apiVersion: messaging.knative.dev/v1alpha1
kind: Channel
metadata: {name: channel-alpha}
spec: {subscribable: {subscribers: [{uid: x}]}}
---
apiVersion: eventing.knative.dev/v1alpha1
kind: Channel
metadata: {name: oldest}
spec: {provisioner: {apiVersion: eventing.knative.dev/v1alpha1, kind: ClusterChannelProvisioner, name: in-memory}}
---
apiVersion: messaging.knative.dev/v1
kind: InMemoryChannel
metadata: {name: memory, annotations: {sluice.dev/stream: memory}}
spec: {delivery: {retry: 1}}
---
apiVersion: messaging.knative.dev/v1beta1
kind: InMemoryChannel
metadata: {name: memory-beta}
---
apiVersion: messaging.knative.dev/v1alpha1
kind: InMemoryChannel
metadata: {name: memory-alpha}
---
apiVersion: messaging.knative.dev/v1
kind: Subscription
metadata: {name: current}
spec:
  channel: {apiVersion: messaging.knative.dev/v1, kind: Channel, name: channel}
  subscriber: {uri: http://elsewhere.example}
  reply: {ref: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, name: memory}}
---
apiVersion: messaging.knative.dev/v1beta1
kind: Subscription
metadata: {name: beta}
spec: {channel: {apiVersion: messaging.knative.dev/v1beta1, kind: Channel, name: channel-beta}, reply: {uri: http://elsewhere.example}}
---
apiVersion: messaging.knative.dev/v1alpha1
kind: Subscription
metadata: {name: alpha}
spec:
  channel: {apiVersion: messaging.knative.dev/v1alpha1, kind: Channel, name: channel-alpha}
  subscriber: {ref: {apiVersion: serving.knative.dev/v1alpha1, kind: Service, name: shown}}
  reply: {channel: {apiVersion: messaging.knative.dev/v1alpha1, kind: Channel, name: channel}}
---
apiVersion: eventing.knative.dev/v1alpha1
kind: Subscription
metadata: {name: oldest}
spec: {channel: {apiVersion: eventing.knative.dev/v1alpha1, kind: Channel, name: oldest}, subscriber: {dnsName: old.example}}
---
apiVersion: flows.knative.dev/v1
kind: Sequence
metadata: {name: steps}
spec:
  channelTemplate: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel}
  steps:
    - ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: shown}
    - {uri: http://elsewhere.example/b, delivery: {retry: 2, deadLetterSink: {uri: http://dead.example}}}
  reply: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}
---
apiVersion: flows.knative.dev/v1beta1
kind: Sequence
metadata: {name: steps-beta}
spec: {steps: [{ref: {apiVersion: flows.knative.dev/v1, kind: Parallel, name: branches}}]}
---
apiVersion: flows.knative.dev/v1alpha1
kind: Sequence
metadata: {name: steps-alpha}
spec: {steps: [{uri: http://elsewhere.example}]}
---
apiVersion: messaging.knative.dev/v1alpha1
kind: Sequence
metadata: {name: steps-oldest}
spec: {steps: [{apiVersion: serving.knative.dev/v1, kind: Service, name: shown}]}
---
apiVersion: flows.knative.dev/v1
kind: Parallel
metadata: {name: branches}
spec:
  branches:
    - {filter: {uri: http://elsewhere.example/odd}, subscriber: {uri: http://elsewhere.example/odd-work}, delivery: {retry: 1}}
    - {subscriber: {uri: http://elsewhere.example/even-work}, reply: {uri: http://elsewhere.example/even-reply}}
  reply: {ref: {apiVersion: messaging.knative.dev/v1, kind: Channel, name: channel}}
---
apiVersion: flows.knative.dev/v1beta1
kind: Parallel
metadata: {name: branches-beta}
spec: {branches: [{subscriber: {uri: http://elsewhere.example}}]}
---
apiVersion: flows.knative.dev/v1alpha1
kind: Parallel
metadata: {name: branches-alpha}
spec: {branches: [{subscriber: {uri: http://elsewhere.example}}]}
---
apiVersion: messaging.knative.dev/v1alpha1
kind: Parallel
metadata: {name: branches-oldest}
spec: {branches: [{subscriber: {uri: http://elsewhere.example}}]}
---
apiVersion: eventing.knative.dev/v1alpha1
kind: EventTransform
metadata: {name: transform}
spec: {sink: {uri: http://elsewhere.example}, jsonata: {expression: "$"}, reply: {discard: true}}
---
apiVersion: eventing.knative.dev/v1beta3
kind: EventType
metadata: {name: beta3}
spec:
  reference: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}
  attributes: [{name: type, required: true, value: a.b}, {name: source, value: /x}]
  description: what happens
---
apiVersion: eventing.knative.dev/v1beta2
kind: EventType
metadata: {name: beta2}
spec: {type: a.b, source: /x, schema: http://schema.example, schemaData: "{}", reference: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}
---
apiVersion: eventing.knative.dev/v1beta1
kind: EventType
metadata: {name: beta1}
spec: {type: a.b, source: /x, broker: default}
---
apiVersion: eventing.knative.dev/v1alpha1
kind: EventType
metadata: {name: alpha1}
spec: {type: a.b, source: /x, broker: default, description: what happens}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kafka-channel-config, namespace: knative-eventing}
data: {bootstrap.servers: "kafka:9092"}
---
apiVersion: messaging.knative.dev/v1
kind: KafkaChannel
metadata: {name: kafka-channel}
spec: {numPartitions: 3, replicationFactor: 1, retentionDuration: PT24H, delivery: {retry: 3}}
---
apiVersion: messaging.knative.dev/v1beta1
kind: KafkaChannel
metadata: {name: old-kafka-channel}
spec: {numPartitions: 3}
---
apiVersion: messaging.knative.dev/v1alpha1
kind: NatsJetStreamChannel
metadata: {name: nats-channel}
spec:
  stream: {overrideName: ORDERS, config: {retention: Limits, discard: New, maxBytes: 1000000, maxAge: 168h, storage: File, replicas: 3}}
  consumerConfigTemplate: {deliverPolicy: ByStartTime, optStartTime: "2026-11-01T00:00:00Z", ackWait: 30s, consumerType: Pull, replayPolicy: Instant}
  delivery: {retry: 3}
---
apiVersion: messaging.knative.dev/v1alpha1
kind: RocketMQChannel
metadata: {name: rocketmq-channel}
spec: {queues: 4, ordered: true, delivery: {retry: 3}}
---
apiVersion: eventing.knative.dev/v1alpha1
kind: RabbitmqBrokerConfig
metadata: {name: rabbitmq}
spec: {rabbitmqClusterReference: {name: rabbitmq, namespace: default}, queueType: quorum}
---
apiVersion: messaging.knative.dev/v1
kind: RabbitmqChannel
metadata: {name: rabbitmq-channel-v1}
spec: {config: {apiVersion: eventing.knative.dev/v1alpha1, kind: RabbitmqBrokerConfig, name: rabbitmq}, delivery: {retry: 3}}
---
apiVersion: sources.knative.dev/v1
kind: RabbitmqSource
metadata: {name: rabbit-v1}
spec: {rabbitmqClusterReference: {name: rabbitmq}, rabbitmqResourcesConfig: {queueName: orders, exchangeName: orders, parallelism: 10}, sink: {uri: http://127.0.0.1:8080/default/default}}
---
apiVersion: messaging.knative.dev/v1beta1
kind: RabbitmqChannel
metadata: {name: rabbitmq-channel-v1beta1}
spec: {config: {apiVersion: eventing.knative.dev/v1alpha1, kind: RabbitmqBrokerConfig, name: rabbitmq}, delivery: {retry: 3}}
---
apiVersion: sources.knative.dev/v1beta1
kind: RabbitmqSource
metadata: {name: rabbit-v1beta1}
spec: {rabbitmqClusterReference: {name: rabbitmq}, rabbitmqResourcesConfig: {queueName: orders, exchangeName: orders, parallelism: 10}, sink: {uri: http://127.0.0.1:8080/default/default}}
---
apiVersion: messaging.knative.dev/v1alpha1
kind: RabbitmqChannel
metadata: {name: rabbitmq-channel-v1alpha1}
spec: {config: {apiVersion: eventing.knative.dev/v1alpha1, kind: RabbitmqBrokerConfig, name: rabbitmq}, delivery: {retry: 3}}
---
apiVersion: sources.knative.dev/v1alpha1
kind: RabbitmqSource
metadata: {name: rabbit-v1alpha1}
spec: {rabbitmqClusterReference: {name: rabbitmq}, rabbitmqResourcesConfig: {queueName: orders, exchangeName: orders, parallelism: 10}, sink: {uri: http://127.0.0.1:8080/default/default}}
---
apiVersion: sources.eventing.knative.dev/v1alpha1
kind: RabbitmqSource
metadata: {name: rabbit-oldest}
spec: {brokers: 'a.example:5672/', exchange_config: {type: fanout, name: logs}, queue_config: {name: orders}, sink: {apiVersion: eventing.knative.dev/v1alpha1, kind: Broker, name: default}}
---
apiVersion: eventing.knative.dev/v1alpha1
kind: KafkaSink
metadata: {name: kafka-sink}
spec: {topic: orders, bootstrapServers: ["kafka:9092"], numPartitions: 3, contentMode: binary}
`
