import { request as plain } from 'node:http'
import { request as secure } from 'node:https'
import type { Secret } from '../../runtime/secret.ts'

/** RabbitMQ's management plugin: what AMQP has no question for. */
export interface ManagementLogin {
  /** `http://host:15672` or `https://host:15671`. */
  readonly url: string
  readonly user: string
  readonly password: Secret
  /** PEM, '' = the system's authorities. */
  readonly ca: string
}

export interface QueueFacts {
  /** `quorum`, `classic`, `stream`. */
  readonly type: string
  /** By argument or policy, whichever is lower; null = none is written. Below 0 = without limit. */
  readonly deliveryLimit: number | null
}

const TIMEOUT_MS = 3_000
const MOST_BYTES = 2 ** 20

/** Rejects where it cannot be asked, or answers something else. */
export async function factsOfQueue(login: ManagementLogin, vhost: string, queue: string): Promise<QueueFacts> {
  const path = `/api/queues/${encodeURIComponent(vhost)}/${encodeURIComponent(queue)}`
  const found: unknown = JSON.parse(await get(login, path))
  if (!isRecord(found)) throw new Error('the management of RabbitMQ answered something else')
  const written = [
    limitIn(found['arguments'], 'x-delivery-limit'),
    limitIn(found['effective_policy_definition'], 'delivery-limit'),
  ]
  const limits = written.filter((n) => n !== null)
  const bounded = limits.filter((n) => n >= 0)
  const deliveryLimit = bounded.length > 0 ? Math.min(...bounded) : (limits[0] ?? null)
  return { type: typeof found['type'] === 'string' ? found['type'] : 'classic', deliveryLimit }
}

function get({ url, user, password, ca }: ManagementLogin, path: string): Promise<string> {
  const to = new URL(path, url)
  const options = {
    auth: `${user}:${password.reveal()}`,
    timeout: TIMEOUT_MS,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(ca === '' ? {} : { ca }),
  }
  return new Promise((resolve, reject) => {
    const asked = (to.protocol === 'https:' ? secure : plain)(to, options, (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > MOST_BYTES) asked.destroy(new Error('the management of RabbitMQ answered too much'))
        else chunks.push(chunk)
      })
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString())
        else reject(new Error(`the management of RabbitMQ answered ${response.statusCode}`))
      })
      response.on('error', reject)
    })
    asked.on('error', reject)
    asked.end()
  })
}

function limitIn(table: unknown, name: string): number | null {
  const found = isRecord(table) ? table[name] : undefined
  return typeof found === 'number' ? found : null
}

function isRecord(x: unknown): x is Readonly<Record<string, unknown>> {
  return typeof x === 'object' && x !== null && !Array.isArray(x)
}
