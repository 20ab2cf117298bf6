import { afterEach, describe, expect, test } from 'vitest'
import type { Start } from '../../src/contract/feed.ts'
import type { Stream } from '../../src/contract/stream.ts'
import { until } from '../until.ts'
import { Player } from './recording-intake.ts'
import { append, EARLIEST, events, LATEST, run, soon, type Running } from './rig.ts'

/** A system whose streams can be read once more beside their live readers. */
export interface HistorySystem {
  readonly name: string
  open(): Promise<Stream>
  /** Closes it in order and opens it again; absent where nothing survives the process. */
  reopen?(s: Stream): Promise<Stream>
  /** Position of the first event. */
  readonly first: number
  /** A replay's delivery that waits long is stored; false = it stays in memory and holds the replay's own position. */
  readonly detaches: boolean
}

const LIVE = 'trigger/a/live'
const REPLAY = 'trigger/a/live~replay-1'

/** A second reader up to the head of now, or to an end of earlier. */
async function replay(
  r: Running,
  from: Start,
  o: { readonly end?: string; readonly lane?: number } = {},
): Promise<{ player: Player; end: string }> {
  const player = new Player(2, REPLAY, () => true)
  player.lane = o.lane ?? Infinity
  r.intake.players.set(2, player)
  const begun = o.end === undefined ? await r.feed.replays!.begin(REPLAY, LIVE, from) : { end: o.end, events: -1 }
  if (begun === null) throw new Error('nobody else has begun it')
  r.feed.replays!.attach(2, REPLAY, from, begun.end, LIVE)
  const known = (): boolean => r.feed.backlog(2).events + player.offered.length === begun.events
  if (begun.events >= 0) await until('it knows what it has to read', known)
  return { player, end: begun.end }
}

const through = (r: Running): Promise<unknown> => until('it is through', () => r.feed.replays!.through(2))

export function historyContract(system: HistorySystem): void {
  const opened: Stream[] = []
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((s) => s.close(soon())))
  })
  const withHistory = async (n: number): Promise<{ r: Running; live: Player }> => {
    const stream = await system.open()
    opened.push(stream)
    const r = run(stream)
    const live = r.intake.attach(1, LIVE, LATEST)
    live.settlesAtOnce = true
    await append(r.stream, events(n))
    await until('the live one has all', () => live.offered.length === n)
    return { r, live }
  }

  describe(`${system.name}: history read again`, () => {
    test('ends at the head of its beginning; the live reader goes on and sees new events once', async () => {
      const { r, live } = await withHistory(10)
      const { player: again } = await replay(r, { at: 'earliest' })
      await append(r.stream, events(5, 10))
      await until('it has read all', () => again.offered.length === 10)
      await until('the live one too', () => live.offered.length === 15)
      expect(again.ids).toEqual(events(10).map((e) => e.id))
      // It is through only when all is settled.
      expect(r.feed.replays!.through(2)).toBe(false)
      r.intake.settleAll(again)
      await through(r)
      await append(r.stream, events(5, 15))
      await until('the live one has these', () => live.offered.length === 20)
      expect(again.offered).toHaveLength(10)
      expect(r.feed.backlog(2).events).toBe(0)
      r.feed.detach(2, true)
      expect(r.feed.forget(REPLAY)).toBe(false)
    })

    test('from the end there is nothing to read: it is through at once', async () => {
      const { r } = await withHistory(3)
      const { player: none } = await replay(r, { at: 'latest' })
      await through(r)
      expect(r.feed.backlog(2).events).toBe(0)
      expect(none.offered).toEqual([])
    })

    test('a full lane stops it, room lets it go on to its end', async () => {
      const { r } = await withHistory(20)
      const { player: again } = await replay(r, { at: 'position', position: system.first + 4 }, { lane: 4 })
      await until('its lane is full', () => again.offered.length === 4)
      again.settlesSoon = true
      r.intake.settleAll(again)
      await until('it has read all', () => again.offered.length === 16)
      r.intake.settleAll(again)
      await through(r)
      expect(again.ids).toEqual(events(16, 4).map((e) => e.id))
      expect(again.rude).toBe(0)
    })

    test('what it gives up is parked for its subscription, what waits long keeps it from being through', async () => {
      const { r } = await withHistory(2)
      const { player: again } = await replay(r, { at: 'earliest' })
      await until('it has read all', () => again.offered.length === 2)
      const state = { dueMs: 0, story: [], phase: 'subscriber', reason: 'rejected' } as const
      const stored = (f: (done: (ok: boolean) => void) => void): Promise<boolean> => new Promise(f)
      expect(await stored((done) => r.feed.park(again.of('e0'), state, done))).toBe(true)
      const dueMs = Date.now() + 150
      const waits = (done: (ok: boolean) => void): void =>
        r.feed.detachDelivery(again.of('e1'), { ...state, reason: '', dueMs }, done)
      expect(await stored(waits)).toBe(system.detaches)
      expect(r.feed.replays!.through(2)).toBe(false)
      if (system.detaches) await until('it comes back', () => again.offered.length === 3)
      expect(await stored((done) => r.feed.park(again.of('e1'), state, done))).toBe(true)
      await through(r)
      r.feed.detach(2, true)
      const parked = (): readonly (string | undefined)[] => r.feed.parked.list(LIVE, '', 10).map((p) => p.event?.id)
      await until('both are shown', () => parked().length === 2)
      expect(parked()).toEqual(['e0', 'e1'])
      expect(r.feed.parked.keys()).toEqual([LIVE])
    })

    if (system.reopen === undefined) return
    test('after a restart it reads on from its own position to its old end', async () => {
      const { r: first } = await withHistory(10)
      const { player: before, end } = await replay(first, { at: 'earliest' })
      await until('it has read all', () => before.offered.length === 10)
      for (const id of ['e0', 'e1', 'e5']) first.intake.settle(before, before.of(id))
      await first.feed.flush(soon())
      const stream = await system.reopen!(opened.pop()!)
      opened.push(stream)

      const r = run(stream)
      const live = r.intake.attach(1, LIVE, EARLIEST)
      await append(r.stream, events(5, 10))
      const { player: after } = await replay(r, EARLIEST, { end })
      after.settlesAtOnce = true
      r.intake.settleAll(after)
      await through(r)
      expect(new Set(after.ids)).toEqual(new Set(['e2', 'e3', 'e4', 'e6', 'e7', 'e8', 'e9']))
      expect(after.offered).toHaveLength(7)
      await until('the live one has only what is new', () => live.offered.length === 5)
      expect(live.ids).toEqual(events(5, 10).map((e) => e.id))
    })
  })
}
