import { SILENT } from '../../src/contract/observer.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { createMemoryStream } from '../../src/streams/memory.ts'
import { streamContract } from './contract.ts'
import { planOf } from './rig.ts'

streamContract({
  name: 'memory',
  limits: true,
  open: (plan) =>
    Promise.resolve(createMemoryStream({ id: 0, plan: planOf(plan), clock: systemClock, observer: SILENT, log: SILENT_LOG })),
})
