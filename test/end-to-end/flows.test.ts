import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { channel, parallel, sequence, step, subscription, to } from '../flows.ts'
import { broker, post, startGateway, temporaryFolder, trigger, writeManifests, type RunningGateway } from '../gateway.ts'
import { service } from '../pods/service.ts'
import { startSink, type Seen, type Sink } from '../sink.ts'
import { until } from '../until.ts'

const open: { gateways: RunningGateway[]; sinks: Sink[] } = { gateways: [], sinks: [] }
afterEach(async () => {
  for (const g of open.gateways.splice(0)) await g.kill()
  for (const s of open.sinks.splice(0)) await s.close()
})
async function gateway(...options: Parameters<typeof startGateway>): Promise<RunningGateway> {
  const g = await startGateway(...options)
  open.gateways.push(g)
  return g
}
async function sink(...options: Parameters<typeof startSink>): Promise<Sink> {
  const s = await startSink(...options)
  open.sinks.push(s)
  return s
}

const pod = (name: string, env: Readonly<Record<string, string>> = {}): unknown => service(name, { program: 'step.js', env })
const saidOf = (s: Sink): string[] => s.seen.map((x) => `${x.id}: ${x.body}`)
const send = (g: RunningGateway, path: string, id: string, data: string): Promise<number> =>
  post(g.listen + path, id, { 'content-type': 'text/plain' }, data)

/** All of it settled: nothing waits anywhere in the gateway. */
async function quiet(g: RunningGateway): Promise<void> {
  await until('nothing waits', async () => {
    const s = await g.api<{ subscriptions: { waiting: number; backlog: number }[] }>('/api/v1/snapshot')
    return s.subscriptions.every((x) => x.waiting === 0 && x.backlog === 0)
  })
}

describe('Sequence', () => {
  test('the four patterns: no reply, with reply, cascaded, with Broker and Trigger', async () => {
    const account = join(temporaryFolder(), 'account')
    const [answered, cascaded, viaBroker] = [await sink(), await sink(), await sink()]
    const g = await gateway({
      manifests: [
        pod('one', { SAYS: '+1', ACCOUNT: account }),
        pod('two', { SAYS: '+2', ACCOUNT: account }),
        pod('three', { SAYS: '+3', TYPE: 'seq.done', ACCOUNT: account }),
        pod('mute', { MUTE: '1', ACCOUNT: account }),
        sequence('silent', [step('one'), step('mute'), step('three')], answered.url),
        sequence('answering', [step('one'), step('two'), step('three')], answered.url),
        sequence('first', [step('one'), step('two')], 'Sequence/second'),
        sequence('second', [step('two'), step('three')], cascaded.url),
        broker(),
        sequence('brokered', [step('two'), step('three')], 'Broker/default'),
        trigger('in', to('Sequence/brokered'), { spec: { filter: { attributes: { type: 'test.event' } } } }),
        trigger('out', viaBroker.url, { spec: { filter: { attributes: { type: 'seq.done' } } } }),
      ],
    })
    for (const [i, path] of ['/default/silent', '/default/answering', '/default/first', '/default/default'].entries()) {
      expect(await send(g, path, `e${i}`, `${i}`)).toBe(202)
    }
    await until('all have arrived', () => answered.seen.length + cascaded.seen.length + viaBroker.seen.length === 3)
    await quiet(g)
    expect(saidOf(answered)).toEqual(['e1: 1+1+2+3'])
    expect(saidOf(cascaded)).toEqual(['e2: 2+1+2+2+3'])
    expect(saidOf(viaBroker)).toEqual(['e3: 3+2+3'])
    // A subscriber never sees how often an event was passed on.
    expect(Object.keys(viaBroker.seen[0]!.headers).filter((h) => h.includes('ttl'))).toEqual([])
    const silent = await g.api<{ status: { conditions: { type: string; status: string }[] } }>(
      '/api/v1/resources/sequence/default/silent',
    )
    expect(silent.status.conditions.find((c) => c.type === 'Ready')?.status).toBe('True')
  })

  test('a step that fails gives its event to its dead-letter sink, and the next step never sees it', async () => {
    const [dead, end] = [await sink(), await sink()]
    const g = await gateway({
      manifests: [
        pod('one', { SAYS: '+1' }),
        pod('bad', { FAIL: '500' }),
        sequence(
          'fragile',
          [step('one'), step('bad', { retry: 1, backoffDelay: 'PT0.01S', deadLetterSink: { uri: dead.url } })],
          end.url,
        ),
      ],
    })
    await send(g, '/default/fragile', 'e', 'x')
    await until('the dead letter arrives', () => dead.seen.length === 1)
    expect(dead.seen[0]).toMatchObject({ id: 'e', body: 'x+1' })
    expect(dead.seen[0]!.headers['ce-knativeerrorcode']).toBe('500')
    await quiet(g)
    expect(end.seen).toEqual([])
  })
})

describe('Parallel', () => {
  test('filters choose branches, one answers to its own reply, the others to the common one, which switches on', async () => {
    const [own, rest] = [await sink(), await sink()]
    const g = await gateway({
      manifests: [
        pod('is-odd', { ONLY: 'odd' }),
        pod('is-even', { ONLY: 'even' }),
        pod('odd', { SAYS: ' is odd' }),
        pod('even', { SAYS: ' is even' }),
        pod('all', { SAYS: ' is a number' }),
        parallel(
          'switcher',
          [
            { filter: to('is-odd'), subscriber: to('odd') },
            { filter: to('is-even'), subscriber: to('even'), reply: to(own.url) },
            { subscriber: to('all') },
          ],
          'Channel/common',
        ),
        channel('common', 'Channel'),
        subscription('common', 'Channel/common', { subscriber: to(rest.url) }),
      ],
    })
    for (let i = 1; i <= 6; i++) expect(await send(g, '/default/switcher', `n${i}`, `${i}`)).toBe(202)
    await until('everything has arrived', () => own.seen.length + rest.seen.length === 12)
    await quiet(g)
    expect(saidOf(own).toSorted()).toEqual(['n2: 2 is even', 'n4: 4 is even', 'n6: 6 is even'])
    const numbers = [1, 2, 3, 4, 5, 6]
    expect(saidOf(rest).toSorted()).toEqual(
      [...numbers.map((n) => `n${n}: ${n} is a number`), ...[1, 3, 5].map((n) => `n${n}: ${n} is odd`)].toSorted(),
    )
  })
})

describe('Channel and Subscription', () => {
  test('each subscription gets every event; replies go on to the next channel, what fails to the dead-letter sink', async () => {
    const [plain, second, dead] = [await sink(), await sink(), await sink()]
    const g = await gateway({
      manifests: [
        pod('add', { SAYS: '+' }),
        pod('bad', { FAIL: '400' }),
        channel('a', 'Channel'),
        channel('b'),
        subscription('plain', 'Channel/a', { subscriber: to(plain.url) }),
        subscription('adding', 'Channel/a', { subscriber: to('add'), reply: to('InMemoryChannel/b') }),
        subscription('bad', 'Channel/a', { subscriber: to('bad'), delivery: { deadLetterSink: { uri: dead.url } } }),
        // Without a subscriber events go to the reply as they are.
        subscription('through', 'InMemoryChannel/b', { reply: to(second.url) }),
      ],
    })
    expect(await send(g, '/default/a', 'e', 'x')).toBe(202)
    await until('everything has arrived', () => plain.seen.length + second.seen.length + dead.seen.length === 3)
    expect([plain, second, dead].map(saidOf)).toEqual([['e: x'], ['e: x+'], ['e: x']])
    expect(dead.seen[0]!.headers['ce-knativeerrorcode']).toBe('400')
  })

  test('an InMemoryChannel keeps its events over a SIGKILL; with sluice.dev/stream: memory it does not', async () => {
    let well = false
    const answer = (_s: Seen, response: Parameters<NonNullable<Parameters<typeof startSink>[0]>>[1]): void =>
      void response.writeHead(well ? 200 : 503).end()
    const [kept, lost] = [await sink(answer), await sink(answer)]
    const delivery = { retry: 50, backoffPolicy: 'linear', backoffDelay: 'PT0.1S' }
    const manifests = [
      channel('durable'),
      channel('fleeting', 'InMemoryChannel', { 'sluice.dev/stream': 'memory' }),
      subscription('durable', 'InMemoryChannel/durable', { subscriber: to(kept.url), delivery }),
      subscription('fleeting', 'InMemoryChannel/fleeting', { subscriber: to(lost.url), delivery }),
    ]
    const data = join(temporaryFolder(), 'data')
    const g = await gateway({ manifests, data })
    for (const name of ['durable', 'fleeting']) expect(await send(g, `/default/${name}`, name, 'x')).toBe(202)
    await until('both were tried', () => kept.seen.length > 0 && lost.seen.length > 0)
    await g.kill()
    well = true
    const [before, lostBefore] = [kept.seen.length, lost.seen.length]
    const again = await gateway({ manifests, data })
    await until('the durable one arrives', () => kept.seen.length > before)
    // The channel works as before, it has only forgotten.
    await send(again, '/default/fleeting', 'new', 'y')
    await until('the new one arrives', () => lost.seen.some((s) => s.id === 'new'))
    expect(lost.seen.slice(lostBefore).map((s) => s.id)).toEqual(['new'])
  })
})

/** A gateway whose manifests can be changed while it runs. */
async function changeable(
  manifests: readonly unknown[],
): Promise<{ g: RunningGateway; change: (m: readonly unknown[]) => Promise<void> }> {
  const folder = temporaryFolder()
  const g = await gateway({ manifests: [], args: ['-f', writeManifests(folder, manifests)] })
  return {
    g,
    change: async (next) => {
      writeManifests(folder, next)
      await g.api('/api/v1/reload', {})
    },
  }
}

const ids = (n: number): string[] => Array.from({ length: n }, (_, i) => `e${i}`)

describe('events under way', () => {
  test('none is lost when a step changes, goes and comes back', async () => {
    const end = await sink()
    const pods = [
      pod('one', { SAYS: '+1', DELAY_MS: '20' }),
      pod('two', { SAYS: '+2', DELAY_MS: '20' }),
      pod('zwei', { SAYS: '+zwei' }),
    ]
    const flow = (...names: string[]): unknown[] => [
      ...pods,
      sequence(
        's',
        names.map((n) => step(n)),
        end.url,
      ),
    ]
    const { g, change } = await changeable(flow('one', 'two', 'one'))
    const all = ids(120)
    const sent = (async () => {
      for (const id of all) expect(await send(g, '/default/s', id, id)).toBe(202)
    })()
    await until('the flow flows', () => end.seen.length > 5)
    await change(flow('one', 'zwei', 'one'))
    await until('it goes on', () => end.seen.some((s) => s.body.includes('zwei')))
    await change(flow('one', 'zwei'))
    await sent
    await until('most have arrived', () => new Set(end.seen.map((s) => s.id)).size > 20)
    // What stood before the step that is gone goes on when it is back.
    await change(flow('one', 'zwei', 'one'))
    await until('every event has arrived', () => new Set(end.seen.map((s) => s.id)).size === all.length)
    for (const s of end.seen) expect(s.body).toMatch(/^e\d+\+1\+(2|zwei)(\+1)?$/)
  })

  test('a reload with a fault changes nothing, and says what is wrong', async () => {
    const end = await sink()
    const sound = [pod('one', { SAYS: '+1' }), sequence('s', [step('one')], end.url)]
    const { g, change } = await changeable(sound)
    await expect(change([...sound, sequence('t', [])])).rejects.toThrow(/t: spec.steps: .*must have at least one step/)
    await expect(
      change([pod('one'), { ...(broker('b', { annotations: { 'sluice.dev/retention': 'soon' } }) as object) }]),
    ).rejects.toThrow(/sluice.dev\/retention/)
    await send(g, '/default/s', 'e', 'x')
    await until('it arrives as before', () => end.seen.length === 1)
    expect(end.seen[0]!.body).toBe('x+1')
  })

  test('SIGKILL in the middle of a Sequence and of a Parallel: every branch still gets every event', async () => {
    const [end, odd, every] = [await sink(), await sink(), await sink()]
    const delivery = { retry: 20, backoffPolicy: 'linear', backoffDelay: 'PT0.05S' }
    const manifests = [
      pod('one', { SAYS: '+1', DELAY_MS: '10' }),
      pod('two', { SAYS: '+2', DELAY_MS: '10' }),
      pod('is-odd', { ONLY: 'odd', DELAY_MS: '10' }),
      sequence('s', [step('one', delivery), step('two', delivery), step('one', delivery)], 'Parallel/p'),
      parallel('p', [
        { filter: to('is-odd'), subscriber: to(odd.url), delivery },
        { subscriber: to('two'), reply: to(end.url), delivery },
        { subscriber: to(every.url), delivery },
      ]),
    ]
    const data = join(temporaryFolder(), 'data')
    let g = await gateway({ manifests, data })
    const acknowledged: number[] = []
    for (let round = 0; round < 2; round++) {
      const producing = Array.from({ length: 60 }, async (_, i) => {
        const n = round * 100 + i
        try {
          if ((await send(g, '/default/s', `e${n}`, `${n} `)) === 202) acknowledged.push(n)
        } catch {
          // Not acknowledged, so nothing was promised.
        }
      })
      await until('it is in the middle', () => end.seen.length > round * 60 + 5)
      await g.kill()
      await Promise.all(producing)
      g = await gateway({ manifests, data })
    }
    expect(acknowledged.length).toBeGreaterThan(100)
    const has = (s: Sink, n: number): boolean => s.seen.some((x) => x.id === `e${n}`)
    await until('every branch has every event', () =>
      acknowledged.every((n) => has(end, n) && has(every, n) && (n % 2 === 0 || has(odd, n))),
    )
    for (const s of end.seen) expect(s.body).toMatch(/^\d+ \+1\+2\+1\+2$/)
  })
})
