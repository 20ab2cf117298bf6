import type { BareClient } from './client.ts'

/** Each is loaded alone: the libraries take a second. */
export const BARE_CLIENTS: Readonly<Record<string, () => Promise<BareClient>>> = {
  embedded: async () => (await import('./embedded.ts')).BARE_EMBEDDED,
  kafka: async () => (await import('./kafka.ts')).BARE_KAFKA,
  nats: async () => (await import('./nats.ts')).BARE_NATS,
  rabbitmq: async () => (await import('./rabbitmq.ts')).BARE_RABBITMQ,
  rocketmq: async () => (await import('./rocketmq.ts')).BARE_ROCKETMQ,
}

export async function bareClient(system: string): Promise<BareClient> {
  const load = BARE_CLIENTS[system]
  if (load === undefined) throw new Error(`there is no bare client of ${system}`)
  return load()
}
