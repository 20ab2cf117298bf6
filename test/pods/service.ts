import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface ServiceOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly containerConcurrency?: number
  readonly timeoutSeconds?: number
  readonly strict?: boolean
  /** `worker.js` unless said. */
  readonly program?: string
}

/** A Service whose pods are a program of this folder. */
export function service(name: string, o: ServiceOptions = {}): unknown {
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, annotations: o.strict === false ? {} : { 'networking.knative.dev/flow-controller.class': 'strict' } },
    spec: {
      template: {
        metadata: { annotations: { 'autoscaling.knative.dev/class': 'xpa.autoscaling.knative.dev', ...o.annotations } },
        spec: {
          containerConcurrency: o.containerConcurrency ?? 10,
          ...(o.timeoutSeconds === undefined ? {} : { timeoutSeconds: o.timeoutSeconds }),
          containers: [
            {
              image: 'registry.example.com/worker',
              command: [process.execPath, join(import.meta.dirname, o.program ?? 'worker.js')],
              env: Object.entries(o.env ?? {}).map(([n, value]) => ({ name: n, value })),
            },
          ],
        },
      },
    },
  }
}

export const toService = (name: string): unknown => ({ ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name } })

/** What the pods wrote: id, concurrency seen, pid. */
export function accountOf(file: string): { id: string; concurrency: number; pid: number }[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.split(' ').length === 3)
    .map((line) => {
      const [id = '', concurrency, pid] = line.split(' ')
      return { id, concurrency: Number(concurrency), pid: Number(pid) }
    })
}
