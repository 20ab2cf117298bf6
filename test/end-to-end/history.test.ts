import { afterEach, describe, expect, test } from 'vitest'
import { writeFileSync } from 'node:fs'
import { broker, post, runCli, startGateway, temporaryFolder, trigger, type RunningGateway } from '../gateway.ts'
import { startSink, type Answer, type Sink } from '../sink.ts'
import { until } from '../until.ts'

interface Numbers {
  readonly key: string
  readonly delivered: number
  readonly waiting: number
  readonly backlog: number
  readonly replayed: number
  readonly parkedNow: number
  readonly paused: boolean
}

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
async function sinkOf(answer?: Answer): Promise<Sink> {
  const sink = await startSink(answer)
  closing.push(() => sink.close())
  return sink
}
async function run(manifests: readonly unknown[], data = temporaryFolder()): Promise<RunningGateway> {
  const g = await startGateway({ manifests, data })
  closing.push(() => g.kill())
  return g
}
const cli = (g: RunningGateway, ...args: string[]): ReturnType<typeof runCli> =>
  runCli([...args, '--admin', g.admin, '--data', g.data])
async function send(g: RunningGateway, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) expect(await post(`${g.listen}/default/default`, `e${i}`)).toBe(202)
}
async function numbers(g: RunningGateway, name = 'all'): Promise<Numbers> {
  const { subscriptions } = await g.api<{ subscriptions: Numbers[] }>('/api/v1/snapshot')
  const found = subscriptions.find((s) => s.key === `trigger/default/${name}`)
  if (found === undefined) throw new Error(`there is no trigger ${name}`)
  return found
}
const settled = (g: RunningGateway, delivered: number, name = 'all'): Promise<unknown> =>
  until('all is delivered', async () => {
    const n = await numbers(g, name)
    return n.delivered === delivered && n.waiting === 0 && n.backlog === 0
  })
interface WithReplays {
  readonly sluice: { readonly replays?: readonly { readonly unread: number; readonly delivered: number }[] }
}
const replaysOf = async (g: RunningGateway): Promise<NonNullable<WithReplays['sluice']['replays']>> =>
  (await g.api<WithReplays>('/api/v1/resources/trigger/default/all')).sluice.replays ?? []

describe('reading history again', () => {
  test('replay --from earliest reads up to the head of now only, beside the live reader', async () => {
    let slow = false
    const sink = await sinkOf((_seen, response) => setTimeout(() => response.writeHead(200).end(), slow ? 20 : 0))
    const g = await run([broker(), trigger('all', sink.url, { annotations: { 'sluice.dev/max-concurrency': '2' } })])
    await send(g, 0, 100)
    await settled(g, 100)
    slow = true
    const { code, out } = await cli(g, 'replay', 'trigger/default/all', '--from', 'earliest')
    expect(out).toMatch(/^replaying 100 events to trigger\/default\/all/)
    expect(code).toBe(0)
    await until('it is shown', async () => (await replaysOf(g)).length === 1)
    // These are live ones: they must come once, though the replay still runs.
    await send(g, 100, 120)
    await until('the replay has ended', async () => (await replaysOf(g)).length === 0)
    await settled(g, 120)
    const counts = sink.counts()
    expect(Array.from({ length: 120 }, (_, i) => counts.get(`e${i}`))).toEqual(
      Array.from({ length: 120 }, (_, i) => (i < 100 ? 2 : 1)),
    )
    const ended = (): string[] => g.log.filter((line) => line.includes('a replay has ended'))
    await until('it is logged', () => ended().length > 0)
    expect(ended()).toHaveLength(1)
  })

  test('from a position and from a time; a point that is none is refused with a sentence', async () => {
    const sink = await sinkOf()
    const g = await run([broker(), trigger('all', sink.url)])
    await send(g, 0, 10)
    await settled(g, 10)
    expect((await cli(g, 'replay', 'trigger/all', '--from', 'position:8', '-o', 'json')).out).toMatch(/"events": 3/)
    await until('these came', () => sink.seen.length === 13)
    expect((await cli(g, 'replay', 'trigger/all', '--from', new Date(Date.now() + 60_000).toISOString())).out).toMatch(
      /^replaying 0 events/,
    )
    const bad = await cli(g, 'replay', 'trigger/all', '--from', 'yesterday')
    expect(bad.code).not.toBe(0)
    expect(bad.err).toMatch(/from is "yesterday"; allowed are earliest/)
    const nobody = await cli(g, 'replay', 'trigger/nobody')
    expect(nobody.code).toBe(1)
    expect(nobody.err).toMatch(/there is no subscription trigger\/default\/nobody; there are: trigger\/default\/all/)
    expect(sink.seen.length).toBe(13)
  })

  test('a replay goes on after SIGKILL, with the position it had, and ends where it was to end', async () => {
    let slow = false
    const sink = await sinkOf((_seen, response) => setTimeout(() => response.writeHead(200).end(), slow ? 15 : 0))
    const data = temporaryFolder()
    const manifests = [broker(), trigger('all', sink.url, { annotations: { 'sluice.dev/max-concurrency': '2' } })]
    const first = await run(manifests, data)
    await send(first, 0, 200)
    await settled(first, 200)
    slow = true
    await first.api('/api/v1/subscriptions/trigger/default/all/replay', { from: 'earliest' })
    await until('it is half way', () => sink.seen.length > 300)
    await first.kill()
    const second = await run(manifests, data)
    await send(second, 200, 210)
    await until('the replay has ended', async () => (await replaysOf(second)).length === 0)
    const counts = sink.counts()
    for (let i = 0; i < 200; i++) expect(counts.get(`e${i}`)).toBeGreaterThanOrEqual(2)
    for (let i = 200; i < 210; i++) expect(counts.get(`e${i}`)).toBe(1)
    // Not from the beginning again: what was in flight, and what was settled in the last half second.
    expect([...counts.values()].filter((n) => n > 2).length).toBeLessThanOrEqual(2 + 2 * 34)
    await second.kill()
    const third = await run(manifests, data)
    expect(await replaysOf(third)).toEqual([])
  })

  test('ordered: the live reader waits until the replay is through, then goes on', async () => {
    let slow = false
    const sink = await sinkOf((_seen, response) => setTimeout(() => response.writeHead(200).end(), slow ? 20 : 0))
    const g = await run([broker(), trigger('all', sink.url, { annotations: { 'sluice.dev/delivery-order': 'ordered' } })])
    await send(g, 0, 20)
    await settled(g, 20)
    slow = true
    await g.api('/api/v1/subscriptions/trigger/default/all/replay', { from: 'earliest' })
    await send(g, 20, 25)
    await until('all have come', () => sink.seen.length === 45)
    const twenty = Array.from({ length: 20 }, (_, i) => `e${i}`)
    expect(sink.seen.map((s) => s.id)).toEqual([...twenty, ...twenty, 'e20', 'e21', 'e22', 'e23', 'e24'])
    expect(sink.mostInFlight()).toBe(1)
    expect((await numbers(g)).paused).toBe(false)
  })

  test('what a replay gives up is parked as an event of its subscription', async () => {
    let well = true
    const sink = await sinkOf((_seen, response) => response.writeHead(well ? 200 : 400).end())
    const g = await run([broker(), trigger('all', sink.url)])
    await send(g, 0, 3)
    await settled(g, 3)
    well = false
    await g.api('/api/v1/subscriptions/trigger/default/all/replay', { from: 'earliest' })
    await until('the replay has ended', async () => sink.seen.length === 6 && (await replaysOf(g)).length === 0)
    const { items } = await g.api<{ items: { event: { id: string } }[] }>('/api/v1/dlq/trigger/default/all')
    expect(items.map((i) => i.event.id)).toEqual(['e0', 'e1', 'e2'])
  })
})

describe('a hand on the position', () => {
  test('pause and resume lose nothing; skip drops what is unread, aloud', async () => {
    const sink = await sinkOf()
    const g = await run([broker(), trigger('all', sink.url)])
    await send(g, 0, 5)
    await settled(g, 5)
    expect((await cli(g, 'pause', 'trigger/default/all')).out).toBe('trigger/default/all is paused\n')
    await send(g, 5, 30)
    expect((await numbers(g)).paused).toBe(true)
    expect((await cli(g, 'resume', 'trigger', 'default/all')).code).toBe(0)
    await until('all have come', () => sink.counts().size === 30)
    await settled(g, 30)
    expect(sink.seen.length).toBe(30)

    await cli(g, 'pause', 'trigger/all')
    await send(g, 30, 50)
    const skipped = await cli(g, 'skip', 'trigger/default/all')
    expect(skipped.code).toBe(0)
    // One may have been read already when the pause began: it is not dropped.
    const dropped = Number(/^trigger\/default\/all dropped (\d+) unread events$/m.exec(skipped.out)?.[1])
    expect([19, 20]).toContain(dropped)
    await cli(g, 'resume', 'trigger/all')
    await send(g, 50, 51)
    await until('what is new comes', () => sink.counts().has('e50'))
    await settled(g, 30 + 20 - dropped + 1)
    expect(sink.counts().size).toBe(30 + 20 - dropped + 1)
    expect(
      g.log.some((line) => line.includes('"unread events were dropped as told"') && line.includes(`"events":${dropped}`)),
    ).toBe(true)
  })

  test('a subscription that is removed keeps its place; purge forgets it, but not while it is wanted', async () => {
    const sink = await sinkOf()
    const data = temporaryFolder()
    const all = trigger('all', sink.url)
    const g = await run([broker(), trigger('other', sink.url, { spec: { filter: { attributes: { type: 'none' } } } }), all], data)
    await send(g, 0, 3)
    await settled(g, 3)
    const wanted = await cli(g, 'purge', 'trigger/default/all')
    expect(wanted.code).toBe(1)
    expect(wanted.err).toMatch(/is in the manifests/)
    const write = (items: readonly unknown[]): void =>
      writeFileSync(g.file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
    const gone = async (): Promise<boolean> => {
      const { subscriptions } = await g.api<{ subscriptions: Numbers[] }>('/api/v1/snapshot')
      return !subscriptions.some((s) => s.key === 'trigger/default/all')
    }
    write([broker()])
    await until('it is gone', gone)
    await send(g, 3, 6)
    expect(sink.seen.length).toBe(3)
    write([broker(), all])
    await until('it goes on where it was', () => sink.counts().size === 6)
    await settled(g, 3)
    write([broker()])
    await until('it is gone again', gone)
    await send(g, 6, 9)
    expect((await cli(g, 'purge', 'trigger/default/all')).out).toBe('trigger/default/all is forgotten\n')
    expect((await cli(g, 'purge', 'trigger/default/all')).code).toBe(1)
    write([broker(), all])
    await until('it is back', async () => !(await gone()))
    await send(g, 9, 10)
    await until('what is new comes', () => sink.counts().has('e9'))
    expect([...sink.counts().keys()]).toEqual(['e0', 'e1', 'e2', 'e3', 'e4', 'e5', 'e9'])
  })

  test('parked events go again by expression, at a rate, to another place, or only counted', async () => {
    let well = false
    const sink = await sinkOf((_seen, response) => response.writeHead(well ? 200 : 400).end())
    const elsewhere = await sinkOf()
    const g = await run([broker(), trigger('all', sink.url)])
    await send(g, 0, 12)
    await until('all are parked', async () => (await numbers(g)).parkedNow === 12)
    const replay = (...args: string[]): ReturnType<typeof runCli> => cli(g, 'dlq', 'replay', 'trigger/default/all', ...args)
    expect((await replay('--where', "id LIKE 'e1%'", '--dry-run')).out).toBe('3 events match\n')
    expect(sink.seen.length).toBe(12)
    const bad = await replay('--where', 'id =')
    expect(bad.code).toBe(1)
    expect(bad.err).not.toBe('')
    // Still not well: they stay, and the exit code says so.
    const still = await replay('--where', "id = 'e0'")
    expect(still.out).toBe('1 matched, 0 replayed, 1 failed and stay parked\n')
    expect(still.code).toBe(1)
    expect((await replay('--where', "id LIKE 'e1%'", '--to', elsewhere.url)).out).toMatch(/^3 matched, 3 replayed, 0 failed/)
    expect([...elsewhere.counts().keys()]).toEqual(['e1', 'e10', 'e11'])
    well = true
    const from = performance.now()
    expect((await replay('--rate', '10')).out).toMatch(/^9 matched, 9 replayed, 0 failed/)
    expect(performance.now() - from).toBeGreaterThan(700)
    expect((await numbers(g)).parkedNow).toBe(0)
    expect((await cli(g, 'dlq', 'list', 'trigger/default/all')).out.trim().split('\n')).toHaveLength(1)
  })
})
