import type { NatsStreamSettings } from '../../../src/streams/nats/settings.ts'

/** A stream as a NatsJetStreamChannel without a spec has it. */
export function natsSettings(url: string, namespace: string, name: string): NatsStreamSettings {
  const subject = `${namespace}.${name}._knative`
  return {
    servers: [url],
    login: null,
    tls: null,
    stream: {
      name: `KN_${namespace}__${name}`.toUpperCase().replaceAll('-', '_'),
      subjects: [subject],
      retention: 'limits',
      discard: 'old',
      storage: 'file',
      replicas: 0,
      maxConsumers: 0,
      maxMsgs: 0,
      maxBytes: 0,
      maxAgeMs: 0,
      maxMsgSize: 0,
      duplicateWindowMs: 0,
      placement: null,
    },
    subject,
    consumer: {
      ackWaitMs: 0,
      maxAckPending: 0,
      filterSubject: '',
      replay: 'instant',
      rateLimitBps: 0,
      sampleFrequency: '',
      start: null,
    },
    namespace,
    name,
  }
}
