import { loadPaths } from '../resources/load.ts'
import { planFrom, type Planned } from '../resources/plan.ts'
import type { GatewaySettings } from './settings.ts'

/** The manifests of a gateway: read as often as they change, each time as the next generation. */
export interface Manifests {
  /** What they say now, with every fault. */
  read(): Planned
  /** These are in force: what of them must not change while they live is checked from now on. */
  took(planned: Planned): void
}

export function createManifests(settings: GatewaySettings): Manifests {
  let running: Planned['immutables'] | null = null
  let generation = 0
  return {
    read() {
      const loaded = loadPaths(settings.paths, settings.stdin)
      const planned = planFrom(loaded.documents, {
        domain: settings.domain,
        images: settings.images,
        self: [`${settings.listen.host}:${settings.listen.port}`, ...settings.self],
        processes: settings.processes,
        generation: ++generation,
        ...(running === null ? {} : { running }),
      })
      return { ...planned, faults: [...loaded.faults, ...planned.faults] }
    },
    took(planned) {
      running = planned.immutables
    },
  }
}
