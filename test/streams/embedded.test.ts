import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { SILENT } from '../../src/contract/observer.ts'
import type { StreamPlan } from '../../src/contract/plan.ts'
import type { Stream } from '../../src/contract/stream.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { openEmbeddedStream } from '../../src/streams/embedded.ts'
import { streamContract } from './contract.ts'
import { planOf, soon } from './rig.ts'

const root = mkdtempSync(join(tmpdir(), 'sluice-embedded-'))
const places = new Map<Stream, { dir: string; plan: StreamPlan }>()
afterAll(() => rmSync(root, { recursive: true, force: true }))

async function openAt(dir: string, plan: StreamPlan): Promise<Stream> {
  const onFatal = (fault: Error): void => {
    throw fault
  }
  const stream = await openEmbeddedStream({ id: 0, plan, clock: systemClock, observer: SILENT, log: SILENT_LOG, dir, onFatal })
  places.set(stream, { dir, plan })
  return stream
}

streamContract({
  name: 'embedded',
  limits: true,
  open: (plan) => openAt(mkdtempSync(join(root, 's-')), planOf(plan)),
  async reopen(s) {
    const { dir, plan } = places.get(s)!
    await s.close(soon())
    return openAt(dir, plan)
  },
})
