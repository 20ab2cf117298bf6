import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { SILENT } from '../../src/contract/observer.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { openEmbeddedStream } from '../../src/streams/embedded.ts'
import { until } from '../until.ts'
import { events, EARLIEST, LATEST, planOf, run, soon } from './rig.ts'

const root = mkdtempSync(join(tmpdir(), 'sluice-image-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

function open(dir: string) {
  const onFatal = (fault: Error): void => {
    throw fault
  }
  return openEmbeddedStream({ id: 0, plan: planOf(), clock: systemClock, observer: SILENT, log: SILENT_LOG, dir, onFatal })
}

test('a copy of the folder taken in full flow holds everything acknowledged and nothing settled for good', async () => {
  const dir = join(root, 'live')
  const { stream, intake, feed } = run(await open(dir))
  const p = intake.attach(1, 'trigger/a/x', LATEST)
  const acked: string[] = []
  const settled: string[] = []
  const images: { dir: string; acked: number; settled: number }[] = []
  let sent = 0
  const send = (): void => {
    if (sent >= 1_600) return
    const [e] = events(1, sent++)
    stream.append([e!], (r) => {
      if (r.kind === 'durable') acked.push(e!.id)
      if (acked.length % 200 === 0) {
        // The loop stands still meanwhile, so at most one commit is on its way: as if the machine had stopped here.
        const image = join(root, `image-${acked.length}`)
        mkdirSync(image)
        copyFileSync(join(dir, 'data.mdb'), join(image, 'data.mdb'))
        images.push({ dir: image, acked: acked.length, settled: settled.length })
      }
      send()
    })
  }
  for (let i = 0; i < 64; i++) send()
  await until('all are acknowledged', async () => {
    for (const d of [...p.open]) if (d.position % 3 === 0) intake.settle(p, d)
    const before = p.offered.filter((d) => d.position % 3 === 0).map((d) => d.event.id)
    await feed.flush(soon())
    settled.splice(0, settled.length, ...before)
    return acked.length === 1_600
  })
  await stream.close(soon())
  expect(images).toHaveLength(8)
  for (const image of images) {
    const copy = run(await open(image.dir))
    const back = copy.intake.attach(1, 'trigger/a/x', LATEST)
    const all = copy.intake.attach(2, 'audit', EARLIEST)
    await until('the copy is read', () => copy.feed.backlog(1).events + copy.feed.backlog(2).events === 0)
    const stored = new Set(all.ids)
    expect(acked.slice(0, image.acked).filter((id) => !stored.has(id))).toEqual([])
    expect(new Set(all.ids).size).toBe(all.ids.length)
    const offered = new Set(back.ids)
    expect(settled.slice(0, image.settled).filter((id) => offered.has(id))).toEqual([])
    const others = acked.slice(0, image.acked).filter((id) => p.of(id).position % 3 !== 0)
    expect(others.filter((id) => !offered.has(id))).toEqual([])
    await copy.stream.close(soon())
  }
})
