import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { channel, subscription, to } from '../flows.ts'
import { broker, post, startGateway, temporaryFolder, trigger, writeManifests, type RunningGateway } from '../gateway.ts'
import { startSink, type Sink } from '../sink.ts'
import { until } from '../until.ts'

const open: { gateways: RunningGateway[]; sinks: Sink[] } = { gateways: [], sinks: [] }
afterEach(async () => {
  for (const g of open.gateways.splice(0)) await g.kill()
  for (const s of open.sinks.splice(0)) await s.close()
})
async function sink(...options: Parameters<typeof startSink>): Promise<Sink> {
  const s = await startSink(...options)
  open.sinks.push(s)
  return s
}

/** A gateway whose manifests change when the test says so. */
async function changeable(
  manifests: readonly unknown[],
): Promise<{ g: RunningGateway; change: (m: readonly unknown[]) => Promise<unknown> }> {
  const folder = temporaryFolder()
  const g = await startGateway({ manifests: [], args: ['-f', writeManifests(folder, manifests)] })
  open.gateways.push(g)
  return {
    g,
    change: async (next) => {
      writeManifests(folder, next)
      return g.api('/api/v1/reload', {})
    },
  }
}

describe('a reload', () => {
  test('does not wait for the attempts of what it removes, and what comes back goes on where it stood', async () => {
    const answers: (() => void)[] = []
    const slow = await sink((_s, response) => void answers.push(() => response.writeHead(200).end()))
    const quick = await sink()
    const { g, change } = await changeable([broker(), trigger('slow', slow.url)])
    await post(`${g.listen}/default/default`, 'a')
    await until('it is under way', () => slow.seen.length === 1)
    const startMs = performance.now()
    await change([broker(), trigger('quick', quick.url)])
    expect(performance.now() - startMs).toBeLessThan(5_000)
    await post(`${g.listen}/default/default`, 'b')
    await until('the new one works', () => quick.seen.length === 1)
    // Back again while the attempt of before still runs: it is awaited, settled and not repeated.
    const back = change([broker(), trigger('slow', slow.url)])
    for (const answer of answers.splice(0)) answer()
    await back
    await until('it gets what came meanwhile', () => slow.seen.length === 2)
    expect(slow.seen.map((s) => s.id)).toEqual(['a', 'b'])
    for (const answer of answers.splice(0)) answer()
    await until('all is settled', async () => {
      const { subscriptions } = await g.api<{ subscriptions: { waiting: number; backlog: number }[] }>('/api/v1/snapshot')
      return subscriptions.every((s) => s.waiting === 0 && s.backlog === 0)
    })
    expect(slow.seen).toHaveLength(2)
  })

  test('refuses to change what cannot be changed while it lives, by name', async () => {
    const end = await sink()
    const two = [channel('a'), channel('b')]
    const { g, change } = await changeable([...two, subscription('s', 'InMemoryChannel/a', { subscriber: to(end.url) })])
    const moved = change([...two, subscription('s', 'InMemoryChannel/b', { subscriber: to(end.url) })])
    await expect(moved).rejects.toThrow(/Subscription default\/s: spec.channel: .*cannot be changed while it runs/)
    await post(`${g.listen}/default/a`, 'e')
    await until('it reads where it did', () => end.seen.length === 1)
    // Away and back is another life.
    await change(two)
    await change([...two, subscription('s', 'InMemoryChannel/b', { subscriber: to(end.url) })])
    await post(`${g.listen}/default/b`, 'f')
    await until('it reads the other', () => end.seen.some((s) => s.id === 'f'))
  })

  test('that fails half way leaves everything running', async () => {
    const end = await sink()
    const now = [broker(), trigger('t', end.url)]
    const { g, change } = await changeable(now)
    // A stream that cannot be opened: a file stands where its folder has to be.
    const folder = join(g.data, 'streams', encodeURIComponent('broker/default/bad').replaceAll('.', '%2E'))
    mkdirSync(dirname(folder), { recursive: true })
    writeFileSync(folder, 'in the way')
    chmodSync(folder, 0o400)
    await expect(change([broker('bad'), trigger('other', end.url, { broker: 'bad' })])).rejects.toThrow(/reload: 500/)
    await post(`${g.listen}/default/default`, 'e')
    await until('it arrives as before', () => end.seen.length === 1)
    const plan = await g.api<{ generation: number; subscriptions: { key: string }[] }>('/api/v1/plan')
    expect(plan.subscriptions.map((s) => s.key)).toEqual(['trigger/default/t'])
  })

  test('and another at the same time come one after the other', async () => {
    const end = await sink()
    const { g, change } = await changeable([broker()])
    await Promise.all([
      change([broker(), trigger('one', end.url)]),
      change([broker(), trigger('two', end.url)]),
      change([broker(), trigger('three', end.url)]),
    ])
    await post(`${g.listen}/default/default`, 'e')
    await until('one trigger is there', () => end.seen.length === 1)
    const plan = await g.api<{ subscriptions: { key: string }[] }>('/api/v1/plan')
    expect(plan.subscriptions.map((s) => s.key)).toEqual(['trigger/default/three'])
  })
})
