import type { DeciderKit } from '../../contract/decider.ts'
import { DECIDERS } from '../kits.ts'
import { keda } from './keda.ts'
import { oracle } from './oracle.ts'
import type { Policy } from './policy.ts'

/** What a pushing dispatcher keeps on its way: ten partitions of fifty records each. */
const DISPATCHER = 500

export const POLICIES: Readonly<Record<string, Policy>> = {
  xpa: { name: 'xpa', about: 'exact state and estimate', balance: 'packed', pushesStored: 0, kit: () => DECIDERS.xpa },
  kpa: {
    name: 'kpa',
    about: "Knative's, with its defaults",
    balance: 'knative',
    pushesStored: DISPATCHER,
    kit: () => DECIDERS.kpa,
  },
  hpa: { name: 'hpa', about: 'Kubernetes, on concurrency', balance: 'random', pushesStored: DISPATCHER, kit: () => DECIDERS.hpa },
  keda: {
    name: 'keda',
    about: 'KEDA with its defaults',
    balance: 'random',
    pushesStored: 0,
    kit: () => ({ decider: keda as DeciderKit['decider'], tickMs: 15_000, windows: () => null }),
  },
  oracle: {
    name: 'oracle',
    about: 'knows the future: the floor',
    balance: 'packed',
    pushesStored: 0,
    kit: (scene, setup) => ({ decider: oracle(scene, setup) as DeciderKit['decider'], tickMs: 1_000, windows: () => null }),
  },
}
