import { spawn } from 'node:child_process'
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { broker, post, startGateway, temporaryFolder, trigger, type RunningGateway } from '../gateway.ts'
import { service, toService } from '../pods/service.ts'
import { startSink, type Answer, type Sink } from '../sink.ts'
import { until } from '../until.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
async function sinkOf(answer?: Answer): Promise<Sink> {
  const sink = await startSink(answer)
  closing.push(() => sink.close())
  return sink
}
async function run(options: Parameters<typeof startGateway>[0]): Promise<RunningGateway> {
  const g = await startGateway(options)
  closing.push(() => g.kill())
  return g
}
const generationOf = async (g: RunningGateway): Promise<number> =>
  (await g.api<{ generation: number }>('/api/v1/plan')).generation
const write = (file: string, items: readonly unknown[]): void =>
  writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))

describe('reload', () => {
  test('a changed trigger takes effect by itself, the broker and the others go on', async () => {
    const [before, after, other] = [await sinkOf(), await sinkOf(), await sinkOf()]
    const g = await run({ manifests: [broker(), trigger('all', before.url), trigger('other', other.url)] })
    expect(await post(`${g.listen}/default/default`, 'one')).toBe(202)
    await until('it came to the old place', () => before.seen.length === 1)
    const generation = await generationOf(g)
    write(g.file, [broker(), trigger('all', after.url), trigger('other', other.url)])
    await until('the change is taken', async () => (await generationOf(g)) > generation)
    expect(await post(`${g.listen}/default/default`, 'two')).toBe(202)
    await until('it came to the new place', () => after.seen.length === 1)
    await until('the other has both', () => other.seen.length === 2)
    expect(before.seen.map((s) => s.id)).toEqual(['one'])
    expect(after.seen.map((s) => s.id)).toEqual(['two'])
  })

  test('SIGHUP takes a file that was replaced; a broken file leaves the running plan, tells every fault, and is no end', async () => {
    const sink = await sinkOf()
    const g = await run({ manifests: [broker(), trigger('all', sink.url)] })
    const generation = await generationOf(g)
    writeFileSync(g.file, '{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"eventing.knative.dev/v1","kind":"Trigger"')
    g.signal('SIGHUP')
    await until('the fault is told', () => g.log.some((line) => line.includes('the manifests were not taken')))
    expect(g.log.find((line) => line.includes('the manifests were not taken'))).toContain(g.file)
    write(g.file, [broker(), trigger('all', sink.url, { spec: { delivery: { retry: -1 }, nonsense: 1 } })])
    g.signal('SIGHUP')
    const told = await until('both faults are told', () =>
      g.log.find((line) => /delivery\.retry/.test(line) && /nonsense/.test(line)),
    )
    expect(told).toMatch(/Trigger default\/all/)
    expect(await generationOf(g)).toBe(generation)
    expect(await post(`${g.listen}/default/default`, 'still')).toBe(202)
    await until('the old plan works', () => sink.seen.length === 1)
    // As an editor does it: a new file in the place of the old one.
    write(`${g.file}.new`, [broker(), broker('second'), trigger('all', sink.url)])
    renameSync(`${g.file}.new`, g.file)
    g.signal('SIGHUP')
    await until('the new plan is there', async () => (await post(`${g.listen}/default/second`, 'x')) === 202)
  })

  test('in a folder files come and go; what was replaced by renaming is noticed again and again', async () => {
    const sink = await sinkOf()
    const folder = join(temporaryFolder(), 'manifests')
    mkdirSync(folder)
    writeFileSync(join(folder, 'broker.json'), JSON.stringify(broker()))
    const g = await run({ manifests: [broker('unused')], args: ['-f', folder] })
    const state = async (name: string): Promise<number> => post(`${g.listen}/default/${name}`, 'x')
    expect(await state('default')).toBe(202)
    expect(await state('late')).toBe(404)
    for (const name of ['late', 'later', 'latest']) {
      writeFileSync(
        join(folder, '.new'),
        JSON.stringify({
          kind: 'List',
          apiVersion: 'v1',
          items: [broker(name), trigger(`to-${name}`, sink.url, { broker: name })],
        }),
      )
      renameSync(join(folder, '.new'), join(folder, 'more.json'))
      await until(`${name} is there`, async () => (await state(name)) === 202)
    }
    expect(await state('late')).toBe(404)
    rmSync(join(folder, 'more.json'))
    await until('the last one is gone', async () => (await state('latest')) === 404)
    expect(await state('default')).toBe(202)
  })

  test('attempts under way end under the old plan, also when their trigger is removed; its place is kept', async () => {
    const sink = await sinkOf((_seen, response) => setTimeout(() => response.writeHead(200).end(), 800))
    const g = await run({
      manifests: [broker(), trigger('all', sink.url, { annotations: { 'sluice.dev/max-concurrency': '1' } })],
    })
    for (const id of ['a', 'b', 'c']) expect(await post(`${g.listen}/default/default`, id)).toBe(202)
    await until('one is under way', () => sink.inFlight() === 1)
    write(g.file, [broker()])
    await until('the trigger is gone', async () => {
      const { subscriptions } = await g.api<{ subscriptions: unknown[] }>('/api/v1/snapshot')
      return subscriptions.length === 0
    })
    const came = sink.seen.length
    expect(came).toBeLessThan(3)
    write(g.file, [broker(), trigger('all', sink.url)])
    await until('the rest comes', () => sink.counts().size === 3)
    expect([...sink.counts().values()]).toEqual([1, 1, 1])
  })
})

describe('SIGTERM', () => {
  test('attempts under way finish, exit 0 within the grace, nothing is delivered again', async () => {
    const sink = await sinkOf((_seen, response) => setTimeout(() => response.writeHead(200).end(), 700))
    const data = temporaryFolder()
    const manifests = [broker(), trigger('all', sink.url, { annotations: { 'sluice.dev/max-concurrency': '4' } })]
    const g = await run({ manifests, data })
    for (let i = 0; i < 12; i++) expect(await post(`${g.listen}/default/default`, `e${i}`)).toBe(202)
    await until('four are under way', () => sink.inFlight() === 4)
    const from = performance.now()
    expect(await g.stop()).toBe(0)
    expect(performance.now() - from).toBeLessThan(10_000)
    expect(sink.inFlight()).toBe(0)
    const came = sink.seen.length
    expect(came).toBeLessThan(12)
    await run({ manifests, data })
    await until('the rest comes', () => sink.counts().size === 12)
    expect([...sink.counts().values()]).toEqual(Array.from({ length: 12 }, () => 1))
  })

  test('what does not end within the grace is handed back: exit 0, delivered again by the next one', async () => {
    let well = false
    const sink = await sinkOf((_seen, response) => {
      if (well) response.writeHead(200).end()
    })
    const data = temporaryFolder()
    const manifests = [broker(), trigger('all', sink.url, { annotations: { 'sluice.dev/max-concurrency': '2' } })]
    const g = await run({ manifests, data, args: ['--grace', '1s'] })
    for (let i = 0; i < 4; i++) expect(await post(`${g.listen}/default/default`, `e${i}`)).toBe(202)
    await until('two hang', () => sink.inFlight() === 2)
    const from = performance.now()
    expect(await g.stop()).toBe(0)
    expect(performance.now() - from).toBeLessThan(6_000)
    well = true
    await run({ manifests, data })
    await until('all have come', () => sink.counts().size === 4)
    // Only the two that hung came twice.
    await until('these too', () => sink.seen.length === 6)
    expect([...sink.counts().values()].sort((a, b) => a - b)).toEqual([1, 1, 2, 2])
  })

  test('while it drains new events are refused with 503, /readyz too, and the second signal ends it at once', async () => {
    const sink = await sinkOf(() => {})
    const g = await run({ manifests: [broker(), trigger('all', sink.url)], args: ['--grace', '60s'] })
    expect(await post(`${g.listen}/default/default`, 'hangs')).toBe(202)
    await until('it hangs', () => sink.inFlight() === 1)
    g.signal('SIGTERM')
    await until('it is not ready', async () => (await fetch(`${g.admin}/readyz`)).status === 503)
    const late = await post(`${g.listen}/default/default`, 'late').catch(() => 'refused')
    expect([503, 'refused']).toContain(late)
    const from = performance.now()
    g.signal('SIGINT')
    expect(await g.gone).toBe(1)
    expect(performance.now() - from).toBeLessThan(5_000)
  })

  test('pods finish what they do and are gone before the gateway is', async () => {
    const g = await run({
      manifests: [
        broker(),
        trigger('work', toService('worker')),
        service('worker', { env: { DELAY_MS: '600' }, annotations: { 'autoscaling.knative.dev/minScale': '1' } }),
      ],
    })
    expect(await post(`${g.listen}/default/default`, 'one')).toBe(202)
    await until('it is under way', async () => {
      const r = await g.api<{ sluice: { gate: { inFlight: number } } }>('/api/v1/resources/trigger/default/work')
      return r.sluice.gate.inFlight === 1
    })
    expect(await g.stop()).toBe(0)
    expect(g.log.some((line) => line.includes('"error"'))).toBe(false)
  })

  test('a reader that closed standard error does not stop it', async () => {
    const g = await run({ manifests: [broker()] })
    const file = g.file
    // Started by hand, because here its log is thrown away while it runs.
    const child = spawn(process.execPath, [
      join(import.meta.dirname, '..', '..', 'bin', 'sluice.js'),
      ...['run', '-f', file, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--data', temporaryFolder()],
    ])
    const ready = await new Promise<{ listen: string }>((resolve) =>
      child.stdout.once('data', (chunk: Buffer) => resolve(JSON.parse(chunk.toString()) as { listen: string })),
    )
    child.stderr.destroy()
    child.kill('SIGHUP')
    expect(await post(`${ready.listen}/default/default`, 'one')).toBe(202)
    child.kill('SIGTERM')
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0)
  })
})
