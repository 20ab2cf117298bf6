import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { SILENT } from '../../src/contract/observer.ts'
import type { Stream } from '../../src/contract/stream.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { openEmbeddedStream } from '../../src/streams/embedded.ts'
import { createMemoryStream } from '../../src/streams/memory.ts'
import { historyContract } from './history-contract.ts'
import { planOf, soon } from './rig.ts'

const parts = { id: 0, plan: planOf(), clock: systemClock, observer: SILENT, log: SILENT_LOG }
const folders = new Map<Stream, string>()
afterAll(() => {
  for (const folder of folders.values()) rmSync(folder, { recursive: true, force: true })
})

async function embedded(dir: string): Promise<Stream> {
  const onFatal = (fault: Error): void => {
    throw fault
  }
  const stream = await openEmbeddedStream({ ...parts, dir, onFatal })
  folders.set(stream, dir)
  return stream
}

historyContract({ name: 'memory', first: 1, detaches: true, open: () => Promise.resolve(createMemoryStream(parts)) })

historyContract({
  name: 'embedded',
  first: 1,
  detaches: true,
  open: () => embedded(mkdtempSync(join(tmpdir(), 'sluice-history-'))),
  async reopen(s) {
    await s.close(soon())
    return embedded(folders.get(s) ?? '')
  },
})
