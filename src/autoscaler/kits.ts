import type { DeciderKit } from '../contract/decider.ts'
import { hpa, HPA_TICK_MS } from './hpa.ts'
import { kpa, KPA_TICK_MS } from './kpa.ts'
import { createWindows } from './windows.ts'
import { xpa } from './xpa.ts'

/** The autoscaler classes as the scaling loop and the simulator use them: the very same. */
export const DECIDERS: Readonly<Record<'xpa' | 'kpa' | 'hpa', DeciderKit>> = {
  xpa: { decider: xpa as DeciderKit['decider'], tickMs: 0, windows: () => null },
  kpa: { decider: kpa as DeciderKit['decider'], tickMs: KPA_TICK_MS, windows: createWindows },
  hpa: { decider: hpa as DeciderKit['decider'], tickMs: HPA_TICK_MS, windows: () => null },
}
