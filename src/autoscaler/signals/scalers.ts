import type { Key } from '../../contract/ids.ts'
import type { Ask } from './ask.ts'

/** Who runs the pods. */
export interface Scaler {
  /** The signals say how many pods there are: `size` is not asked. */
  readonly seesPods: boolean
  /** A wish runs out after a while: it is said again so often, also where nothing changed. 0 = it stays. */
  readonly renewMs: number
  /** Pods there are; null = it cannot say. Rejects where it could and does not. */
  size(service: Key, signal: AbortSignal): Promise<number | null>
  scale(service: Key, desired: number, reason: string, signal: AbortSignal): Promise<void>
}

/** Decides and does nothing. */
export const NOBODY: Scaler = {
  seesPods: false,
  renewMs: 0,
  size: () => Promise.resolve(null),
  scale: () => Promise.resolve(),
}

/** `POST {service, desired, reason}`; any 2xx is taken as done. */
export function webhookScaler(url: string, ask: Ask): Scaler {
  return {
    ...NOBODY,
    async scale(service, desired, reason, signal) {
      await ask(url, { method: 'POST', body: { service: nameOf(service), desired, reason } }, signal)
    },
  }
}

const MERGE_PATCH = 'application/merge-patch+json'

/** The `/scale` of a Deployment (autoscaling/v1 Scale). `deployments` where its name is not the Service's. */
export function deploymentScaler(url: string, deployments: ReadonlyMap<Key, string>, ask: Ask): Scaler {
  const path = (key: Key): string => {
    const [, namespace = '', name = ''] = key.split('/')
    const deployment = encodeURIComponent(deployments.get(key) ?? name)
    return `${url}/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/deployments/${deployment}/scale`
  }
  return {
    seesPods: false,
    renewMs: 0,
    async size(service, signal) {
      const body = (await ask(path(service), {}, signal)) as { spec?: { replicas?: unknown } } | null
      // The API leaves out what is 0.
      const replicas = body?.spec?.replicas ?? 0
      if (body?.spec === undefined || typeof replicas !== 'number' || !Number.isInteger(replicas) || replicas < 0)
        throw new Error('the answer of /scale has no spec.replicas')
      return replicas
    },
    async scale(service, desired, _reason, signal) {
      await ask(path(service), { method: 'PATCH', type: MERGE_PATCH, body: { spec: { replicas: desired } } }, signal)
    },
  }
}

/** A gateway must hear again within this, else its own decider takes over. */
const LEASE_MS = 15_000

/** Process pods of a gateway: its own decider steps back while it hears from here. */
export function gatewayScaler(url: string, ask: Ask): Scaler {
  return {
    seesPods: true,
    renewMs: LEASE_MS / 3,
    size: () => Promise.resolve(null),
    async scale(service, desired, reason, signal) {
      const body = { desired, reason, leaseMs: LEASE_MS }
      await ask(`${url}/api/v1/services/${nameOf(service)}/scale`, { method: 'POST', body }, signal)
    },
  }
}

function nameOf(key: Key): string {
  return key.slice(key.indexOf('/') + 1)
}
