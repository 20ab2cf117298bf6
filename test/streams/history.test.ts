import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Start } from '../../src/contract/feed.ts'
import { SILENT } from '../../src/contract/observer.ts'
import type { Stream } from '../../src/contract/stream.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { openEmbeddedStream } from '../../src/streams/embedded.ts'
import { createMemoryStream } from '../../src/streams/memory.ts'
import { until } from '../until.ts'
import { Player } from './recording-intake.ts'
import { append, EARLIEST, events, LATEST, planOf, run, soon, type Running } from './rig.ts'

const LIVE = 'trigger/a/live'
const REPLAY = 'trigger/a/live~replay-1'
const parts = { id: 0, plan: planOf(), clock: systemClock, observer: SILENT, log: SILENT_LOG }
const opened: Stream[] = []
const folders: string[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((s) => s.close(soon())))
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})
async function embedded(dir: string): Promise<Stream> {
  const onFatal = (fault: Error): void => {
    throw fault
  }
  const stream = await openEmbeddedStream({ ...parts, dir, onFatal })
  opened.push(stream)
  return stream
}
function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-history-'))
  folders.push(dir)
  return dir
}
/** A second reader up to the head of now, or to an end of earlier. */
async function replay(r: Running, from: Start, end?: string): Promise<Player> {
  const player = new Player(2, REPLAY, () => true)
  r.intake.players.set(2, player)
  const begun = await r.feed.replays!.begin(REPLAY, LIVE, from)
  if (begun === null) throw new Error('nobody else has begun it')
  r.feed.replays!.attach(2, REPLAY, from, end ?? begun.end, LIVE)
  if (end === undefined) expect(begun.events).toBe(r.feed.backlog(2).events)
  return player
}
async function withHistory(stream: Stream, n: number): Promise<{ r: Running; live: Player }> {
  const r = run(stream)
  const live = r.intake.attach(1, LIVE, LATEST)
  live.settlesAtOnce = true
  await append(r.stream, events(n))
  await until('the live one has all', () => live.offered.length === n)
  return { r, live }
}

describe.each([
  ['memory', () => Promise.resolve(createMemoryStream(parts))],
  ['embedded', () => embedded(folder())],
] as const)('%s: history read again', (_name, open) => {
  test('ends at the head of its beginning; the live reader goes on and sees new events once', async () => {
    const { r, live } = await withHistory(await open(), 10)
    const again = await replay(r, { at: 'earliest' })
    expect(r.feed.backlog(2).events).toBe(10)
    await append(r.stream, events(5, 10))
    await until('it has read all', () => again.offered.length === 10)
    await until('the live one too', () => live.offered.length === 15)
    expect(again.ids).toEqual(events(10).map((e) => e.id))
    // It is through only when all is settled.
    expect(r.feed.replays!.through(2)).toBe(false)
    r.intake.settleAll(again)
    expect(r.feed.replays!.through(2)).toBe(true)
    await append(r.stream, events(5, 15))
    await until('the live one has these', () => live.offered.length === 20)
    expect(again.offered).toHaveLength(10)
    expect(r.feed.backlog(2).events).toBe(0)
    r.feed.detach(2, true)
    expect(r.feed.forget(REPLAY)).toBe(false)
  })

  test('from the end there is nothing to read: it is through at once', async () => {
    const { r } = await withHistory(await open(), 3)
    const none = await replay(r, { at: 'latest' })
    expect(r.feed.replays!.through(2)).toBe(true)
    expect(r.feed.backlog(2).events).toBe(0)
    expect(none.offered).toEqual([])
  })

  test('a full lane stops it, room lets it go on to its end', async () => {
    const { r } = await withHistory(await open(), 20)
    const again = await replay(r, { at: 'position', position: 5 })
    again.lane = 4
    await until('its lane is full', () => again.offered.length === 4)
    again.settlesSoon = true
    r.intake.settleAll(again)
    await until('it has read all', () => again.offered.length === 16)
    r.intake.settleAll(again)
    await until('it is through', () => r.feed.replays!.through(2))
    expect(again.rude).toBe(0)
  })

  test('what it gives up is parked for its subscription, what waits long keeps it from being through', async () => {
    const { r } = await withHistory(await open(), 2)
    const again = await replay(r, { at: 'earliest' })
    await until('it has read all', () => again.offered.length === 2)
    const state = { dueMs: 0, story: [], phase: 'subscriber', reason: 'rejected' } as const
    const stored = (f: (done: (ok: boolean) => void) => void): Promise<boolean> => new Promise(f)
    expect(await stored((done) => r.feed.park(again.of('e0'), state, done))).toBe(true)
    const dueMs = Date.now() + 150
    expect(await stored((done) => r.feed.detachDelivery(again.of('e1'), { ...state, reason: '', dueMs }, done))).toBe(true)
    expect(r.feed.replays!.through(2)).toBe(false)
    await until('it comes back', () => again.offered.length === 3)
    expect(await stored((done) => r.feed.park(again.of('e1'), state, done))).toBe(true)
    await until('it is through', () => r.feed.replays!.through(2))
    r.feed.detach(2, true)
    expect(r.feed.parked.list(LIVE, '', 10).map((p) => p.event?.id)).toEqual(['e0', 'e1'])
    expect(r.feed.parked.keys()).toEqual([LIVE])
  })
})

test('embedded: after a restart a replay reads on from its own position to its old end', async () => {
  const dir = folder()
  const first = await withHistory(await embedded(dir), 10)
  const before = await replay(first.r, { at: 'earliest' })
  before.lane = 4
  await until('it has begun', () => before.offered.length === 4)
  first.r.intake.settle(before, before.of('e0'))
  first.r.intake.settle(before, before.of('e1'))
  await first.r.feed.flush(soon())
  const settled = before.offered.filter((d) => !before.open.has(d)).map((d) => d.event.id)
  await opened.pop()?.close(soon())

  const r = run(await embedded(dir))
  const live = r.intake.attach(1, LIVE, EARLIEST)
  await append(r.stream, events(5, 10))
  const after = await replay(r, EARLIEST, '10')
  after.settlesAtOnce = true
  await until('it is through', () => r.feed.replays!.through(2))
  expect(after.ids).toEqual(
    events(10)
      .map((e) => e.id)
      .filter((id) => !settled.includes(id)),
  )
  await until('the live one has only what is new', () => live.offered.length === 5)
  expect(live.ids).toEqual(events(5, 10).map((e) => e.id))
})
