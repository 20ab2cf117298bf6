import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { broker, freeAddress, runCli, temporaryFolder, trigger, writeManifests, type RunningGateway } from '../gateway.ts'
import { duplicates, seenBetween } from '../kafka-flow.ts'
import type { Seen, Sink } from '../sink.ts'
import { until } from '../until.ts'
import {
  accountOf,
  anonymousBytes,
  cli,
  eager,
  flow,
  metricsOf,
  missingFrom,
  newName,
  numbersOf,
  Opened,
  send,
  sendAll,
  sendEvent,
  type RunningServer,
  SOAK,
  type SystemUnderTest,
} from './stream-rig.ts'

/** The system, and the server that all rows share while they run. */
interface Place<A> {
  readonly system: SystemUnderTest<A>
  readonly address: () => A
}

/** Attempts of a Trigger at once, everywhere here (`eager`). */
const IN_FLIGHT = 32
/** A system that was away may have its own rests before it is asked again. */
const BACK_WITHIN_MS = 90_000

/**
 * What every message system has to stand through real gateways: HTTP in → a Broker on the system → Triggers → a sink that
 * keeps a log. A system is one file that calls this with a `SystemUnderTest`.
 */
export function streamSuite<A>(system: SystemUnderTest<A>): void {
  describe.skipIf(system.skip)(`events on ${system.name}${system.note}`, () => {
    let server: RunningServer<A> | null = null
    beforeAll(async () => {
      server = await system.start()
    })
    afterAll(() => server?.stop())
    const at: Place<A> = {
      system,
      address() {
        if (server === null) throw new Error('the server has not been started')
        return server.address
      },
    }
    describe('one gateway', () => {
      steadyRows(at)
    })
    describe('a gateway that dies', () => {
      killedRows(at)
    })
    if (system.shares)
      describe('two gateways', () => {
        sharedRows(at)
      })
    if (system.own !== null) {
      const { skip, note } = system.own
      describe.skipIf(skip)(`a server that dies${note}`, () => {
        serverRows(at)
      })
    }
    if (system.nowhere !== null)
      describe('a server that cannot be used', () => {
        unusableRows(at)
      })
  })
}

async function allWell(g: RunningGateway): Promise<void> {
  await until(
    'nothing is degraded',
    async () => {
      const { degraded } = await g.api<{ degraded: unknown[] }>('/readyz')
      if (degraded.length > 0) throw new Error(JSON.stringify(degraded))
      return true
    },
    60_000,
  )
}

/** All rows that need a gateway and no death share one; each has a Broker of its own. */
function steadyRows<A>(at: Place<A>): void {
  const { system } = at
  const opened = new Opened()
  const names = {
    many: newName('many'),
    hangs: newName('hangs'),
    edges: newName('edges'),
    order: newName('order'),
    pause: newName('pause'),
    raw: newName('raw'),
    channel: newName('channel'),
  }
  let g: RunningGateway
  let open: () => void = () => {}
  let hanging: Promise<void> = Promise.resolve()
  const url = (name: string): string => `${g.listen}/default/${name}`
  const sinks = {} as Record<'many' | 'hangs' | 'quick' | 'edges' | 'order' | 'pause' | 'raw' | 'channel', Sink>

  beforeAll(async () => {
    sinks.many = await opened.sink()
    sinks.hangs = await opened.sink((_seen, response) => void hanging.then(() => response.writeHead(200).end()))
    sinks.quick = await opened.sink()
    sinks.edges = await opened.sink()
    sinks.order = await opened.sink((seen, response, nth) => response.writeHead(failsAtFirst(seen, nth) ? 503 : 200).end())
    sinks.pause = await opened.sink()
    sinks.raw = await opened.sink()
    sinks.channel = await opened.sink()
    const channel = system.channel(at.address(), names.channel)
    const ref = { apiVersion: channel.apiVersion, kind: channel.kind, name: names.channel }
    const half = { filter: { attributes: { half: 'yes' } } }
    const manifests = [
      ...(['many', 'hangs', 'edges', 'pause', 'raw'] as const).flatMap((n) => system.broker(at.address(), names[n])),
      eager(`${names.many}-all`, names.many, `${sinks.many.url}all`),
      trigger(`${names.many}-half`, `${sinks.many.url}half`, { broker: names.many, spec: half }),
      eager(`${names.hangs}-hangs`, names.hangs, sinks.hangs.url, { 'sluice.dev/max-concurrency': '4' }),
      eager(`${names.hangs}-quick`, names.hangs, sinks.quick.url),
      eager(`${names.edges}-binary`, names.edges, `${sinks.edges.url}binary`),
      trigger(`${names.edges}-json`, `${sinks.edges.url}json`, { broker: names.edges, spec: { delivery: { format: 'json' } } }),
      eager(`${names.pause}-t`, names.pause, sinks.pause.url),
      eager(`${names.raw}-t`, names.raw, sinks.raw.url),
      ...(system.ordered ? orderedManifests(at, names.order, sinks.order.url) : []),
      ...channel.manifests,
      subscription(`${names.channel}-a`, ref, `${sinks.channel.url}a`),
      subscription(`${names.channel}-b`, ref, `${sinks.channel.url}b`),
    ]
    g = await opened.gateway({ manifests })
    await allWell(g)
  })
  afterAll(() => opened.close())

  const many = SOAK ? 100_000 : system.events
  test(`${many.toLocaleString('en')} events: none is lost, none comes twice, and the account in the metrics is exact`, async () => {
    const from = performance.now()
    const headers = (n: number): Record<string, string> => (n % 2 === 0 ? { 'ce-half': 'yes' } : {})
    const sent = await sendAll(url(names.many), 'e', many, { headers })
    const sentMs = performance.now() - from
    const cameTo = (path: string): Seen[] => sinks.many.seen.filter((s) => s.path === path)
    await until('all have come', () => sinks.many.seen.length >= many * 1.5, 60_000 + many * 2)
    if (SOAK)
      console.log(
        `${system.name}: ${many} events sent in ${Math.round(sentMs)} ms, to two Triggers in ${Math.round(performance.now() - from)} ms`,
      )
    expect(new Set(cameTo('/all').map((s) => s.id))).toEqual(new Set(sent))
    expect(new Set(cameTo('/half').map((s) => s.id))).toEqual(new Set(sent.filter((_, n) => n % 2 === 0)))
    expect(sinks.many.seen.length).toBe(many * 1.5)
    await until('all is settled', async () => {
      const [all, half] = await Promise.all(['all', 'half'].map((t) => numbersOf(g, `${names.many}-${t}`)))
      return all?.delivered === many && half?.delivered === many / 2 && all.waiting + half.waiting === 0
    })
    // What went past the second one without a match is counted by what passed.
    const whole = await until('all went past both', async () => {
      const e = await metricsOf(g)
      return accountOf(e, `${names.many}-half`).ends['filtered'] === many / 2 ? e : null
    })
    const none = { dead_lettered: 0, parked: 0, handed_back: 0 }
    const account = (t: string): unknown => accountOf(whole, `${names.many}-${t}`)
    expect(account('all')).toEqual({ came: many, went: many, ends: { ...none, filtered: 0, delivered: many } })
    expect(account('half')).toEqual({ came: many, went: many, ends: { ...none, filtered: many / 2, delivered: many / 2 } })
    const ingress = { name: names.many }
    expect(whole.sum('sluice_ingress_received_total', ingress)).toBe(many)
    expect(whole.sum('sluice_ingress_accepted_total', ingress)).toBe(many)
    expect(whole.sum('sluice_subscription_retries_total', ingress)).toBe(0)
  }, 600_000)

  test('a sink that hangs costs no memory and holds nobody back; when it answers, all arrive', async () => {
    const bytes = 64 * 1024
    const count = 2_500
    const body = Buffer.alloc(bytes, 'x')
    // The same flow first with a sink that answers: what a flow costs is not what standing costs.
    const warm = await sendAll(url(names.hangs), 'warm', 500, { body })
    await until('the way is warm', () => missingFrom(sinks.hangs, warm).length + missingFrom(sinks.quick, warm).length === 0)
    const before = anonymousBytes(g.pid)
    hanging = new Promise((resolve) => {
      open = resolve
    })
    const sent = await sendAll(url(names.hangs), 'e', count, { body })
    await until('the other Trigger goes on', () => missingFrom(sinks.quick, sent).length === 0, 120_000)
    expect(sinks.hangs.inFlight()).toBe(4)
    expect(missingFrom(sinks.hangs, sent).length).toBe(count - 4)
    const unread = async (): Promise<number> => {
      const n = await numbersOf(g, `${names.hangs}-hangs`)
      return n.unread + n.waiting
    }
    await until('all but a few stand in the system', async () => (await unread()) >= count - 4)
    // 160 MiB stand there. Buffers that are free go back to the system a while later.
    let grown = 0
    await until(
      'memory is flat',
      () => {
        grown = anonymousBytes(g.pid) - before
        if (grown > (count * bytes) / 2) throw new Error(`it has grown by ${Math.round(grown / 2 ** 20)} MiB`)
        return true
      },
      20_000,
    )
    if (SOAK) console.log(`${system.name}: memory grew by ${Math.round(grown / 2 ** 20)} MiB under ${count} events of 64 KiB`)
    hanging = Promise.resolve()
    open()
    await until('all arrive', () => missingFrom(sinks.hangs, sent).length === 0, 120_000)
    expect(duplicates(sinks.hangs) + duplicates(sinks.quick)).toBe(0)
  }, 300_000)

  test('large events pass byte for byte up to the limit, over it they are refused', async () => {
    const bytes = Buffer.from(Array.from({ length: 2 ** 20 - 1_024 }, (_, i) => (i * 7 + (i >> 8)) & 255))
    const type = { 'content-type': 'application/octet-stream' }
    expect(await sendEvent(url(names.edges), 'large', type, bytes)).toBe(202)
    expect(await sendEvent(url(names.edges), 'too-large', type, Buffer.alloc(2 ** 20 + 1))).toBe(413)
    expect(await sendEvent(url(names.edges), 'after', type, 'x')).toBe(202)
    const came = (path: string, id: string): Seen | undefined => sinks.edges.seen.find((s) => s.path === path && s.id === id)
    await until('the others come', () => came('/binary', 'after') !== undefined && came('/binary', 'large') !== undefined)
    // A body that is no text is kept as text by the sink: what JSON has is exact.
    const json = await until('it came as JSON', () => jsonEvents(sinks.edges).get('large'))
    expect(Buffer.from(String(json['data_base64']), 'base64').equals(bytes)).toBe(true)
    expect(came('/binary', 'too-large')).toBeUndefined()
  })

  test('attributes and data of every kind go the whole way unchanged', async () => {
    for (const [id, headers, body] of ODD_REQUESTS) {
      const answer = await send(url(names.edges), { 'ce-specversion': '1.0', 'ce-id': id, ...headers }, body)
      expect({ id, ...answer }).toMatchObject({ id, status: 202 })
    }
    for (const event of ODD_EVENTS) {
      const answer = await send(
        url(names.edges),
        { 'content-type': 'application/cloudevents+json' },
        JSON.stringify({ specversion: '1.0', source: '/odd', type: 'odd', ...event }),
      )
      expect({ id: event.id, ...answer }).toMatchObject({ id: event.id, status: 202 })
    }
    const ids = [...ODD_REQUESTS.map(([id]) => decodeURIComponent(id)), ...ODD_EVENTS.map((e) => e.id)]
    await until('all came both ways', () => {
      const json = jsonEvents(sinks.edges)
      const binary = binaryEvents(sinks.edges)
      return ids.every((id) => json.has(id) && binary.has(id))
    })
    for (const [id, headers, body] of ODD_REQUESTS) {
      const got = binaryEvents(sinks.edges).get(decodeURIComponent(id))
      const want = Object.fromEntries(
        Object.entries(headers).map(([k, v]) => [k, k.startsWith('ce-') ? decodeURIComponent(v) : v]),
      )
      expect(got?.headers).toMatchObject(want)
      // Nothing is made up either.
      expect(
        Object.keys(got?.headers ?? {})
          .filter((k) => k.startsWith('ce-') || k === 'content-type')
          .toSorted(),
      ).toEqual(['ce-id', 'ce-specversion', ...Object.keys(headers)].toSorted())
      expect(got?.body).toBe(body)
    }
    for (const event of ODD_EVENTS) {
      const { specversion: _s, source: _o, type: _t, ...got } = jsonEvents(sinks.edges).get(event.id) ?? {}
      // The bindings of the systems say every attribute as text.
      expect(asText(got)).toEqual(asText(event))
    }
  })

  const { raw } = system
  if (raw !== undefined)
    test('bytes that are no event are wrapped or parked, and in the way of nobody', async () => {
      expect(await sendEvent(url(names.raw), 'before')).toBe(202)
      await raw(at.address(), names.raw, Buffer.from([0x7b, 0x00, 0xff, 0x22]))
      expect(await sendEvent(url(names.raw), 'after')).toBe(202)
      await until('what comes after it is delivered', () => missingFrom(sinks.raw, ['before', 'after']).length === 0)
      const ended = await until('it is wrapped or parked', async () => {
        const wrapped = sinks.raw.seen.filter((s) => s.id !== 'before' && s.id !== 'after').length
        const { parked } = await numbersOf(g, `${names.raw}-t`)
        return wrapped + parked > 0 ? { wrapped, parked } : null
      })
      expect(ended.wrapped + ended.parked).toBe(1)
    })

  test('a channel gives each of its Subscriptions every event once', async () => {
    const sent = await sendAll(url(names.channel), 'e', 200)
    await until('all came to both', () => sinks.channel.seen.length >= 400)
    for (const path of ['/a', '/b'])
      expect(new Set(sinks.channel.seen.filter((s) => s.path === path).map((s) => s.id))).toEqual(new Set(sent))
    expect(sinks.channel.seen.length).toBe(400)
  })

  if (system.ordered)
    test('ordered: one at a time in the order they were sent, through retries in the middle', async () => {
      const sent: string[] = []
      for (let n = 0; n < 60; n++) {
        expect(await sendEvent(url(names.order), `o${n}`, { 'ce-partitionkey': 'one' })).toBe(202)
        sent.push(`o${n}`)
      }
      await until('all have come', () => missingFrom(sinks.order, sent).length === 0)
      const came = sinks.order.seen.map((s) => s.id)
      expect(came).toEqual(sent.flatMap((id) => (/[37]$/.test(id) ? [id, id, id] : [id])))
      expect(sinks.order.mostInFlight()).toBe(1)
    })
  else
    test('ordered delivery, which it cannot have, is refused by validate', async () => {
      const file = writeManifests(temporaryFolder(), orderedManifests(at, names.order, 'http://127.0.0.1:1/'))
      const { code, out, err } = await runCli(['validate', '-f', file])
      expect(out + err).toMatch(/Trigger default\/order-\w+-t: .*delivery-order/)
      expect(code).toBe(1)
    })

  test('pause and resume: the backlog rises and falls where everybody sees it, and nothing is lost', async () => {
    const t = `${names.pause}-t`
    const sum = async (metric: string): Promise<number> => (await metricsOf(g)).sum(`sluice_subscription_${metric}`, { name: t })
    const first = await sendAll(url(names.pause), 'a', 20)
    await until('all have come', () => missingFrom(sinks.pause, first).length === 0)
    expect((await cli(g, 'pause', `trigger/default/${t}`)).code).toBe(0)
    const held = await sendAll(url(names.pause), 'b', 300)
    // What had been asked for when the pause began may be here already and waits with the others.
    await until('the backlog is seen', async () => (await sum('backlog_events')) + (await sum('waiting')) >= 300)
    expect(await sum('held')).toBe(1)
    const { out } = await cli(g, 'get', 'trigger', `default/${t}`)
    const shown = Number(new RegExp(`${t}\\s+\\S+\\s+(\\d+)`).exec(out)?.[1])
    expect(shown).toBeGreaterThan(0)
    expect(missingFrom(sinks.pause, held).length).toBe(300)
    expect((await cli(g, 'resume', `trigger/default/${t}`)).code).toBe(0)
    await until('all have come', () => missingFrom(sinks.pause, held).length === 0)
    await until('the backlog is gone', async () => (await sum('backlog_events')) + (await sum('waiting')) === 0)
    expect(await sum('held')).toBe(0)
    expect(duplicates(sinks.pause)).toBe(0)
  })
}

function subscription(name: string, channel: unknown, uri: string): unknown {
  return {
    apiVersion: 'messaging.knative.dev/v1',
    kind: 'Subscription',
    metadata: { name },
    spec: { channel, subscriber: { uri } },
  }
}

function orderedManifests<A>({ system, address }: Place<A>, name: string, url: string): unknown[] {
  return [...system.broker(address(), name), eager(`${name}-t`, name, url, { 'sluice.dev/delivery-order': 'ordered' })]
}

/** Every event whose number ends in 3 or 7 is refused twice. */
function failsAtFirst(seen: Seen, nth: number): boolean {
  return /[37]$/.test(seen.id) && nth < 3
}

/** By id, the latest of those that came in binary mode. */
function binaryEvents(sink: Sink): Map<string, Seen & { readonly headers: Record<string, string> }> {
  const found = new Map<string, Seen & { readonly headers: Record<string, string> }>()
  for (const s of sink.seen) {
    if (s.path !== '/binary') continue
    const headers = Object.entries(s.headers).map(([k, v]) => [
      k,
      k.startsWith('ce-') ? decodeURIComponent(String(v)) : String(v),
    ])
    found.set(decodeURIComponent(s.id), { ...s, headers: Object.fromEntries(headers) as Record<string, string> })
  }
  return found
}

function jsonEvents(sink: Sink): Map<string, Record<string, unknown>> {
  const found = new Map<string, Record<string, unknown>>()
  for (const s of sink.seen) {
    if (s.path !== '/json') continue
    const event = JSON.parse(s.body) as Record<string, unknown>
    found.set(String(event['id']), event)
  }
  return found
}

function asText(event: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(event).map(([k, v]) => [k, k === 'data' ? v : String(v)]))
}

const enc = (text: string): string => encodeURIComponent(text)

/** Requests in binary mode: id, headers as they are sent, body. */
const ODD_REQUESTS: readonly (readonly [string, Readonly<Record<string, string>>, string])[] = [
  ['nothing', { 'ce-source': '/odd', 'ce-type': 'odd' }, ''],
  ['empty-json', { 'ce-source': '/odd', 'ce-type': 'odd', 'content-type': 'application/json' }, ''],
  [
    enc('a/b c"é%'),
    {
      'ce-source': 'https://example.com/%7Euser?q=1%26r#f'.replaceAll('%', '%25'),
      'ce-type': enc('com.example/Größe "x"'),
      'ce-subject': enc('a/b/ 世界 😀'),
      'ce-time': '2026-01-02T03:04:05.123456789+02:00',
      'ce-dataschema': 'urn:example:schema:1',
      'content-type': 'text/plain; charset=ISO-8859-1',
    },
    'plain',
  ],
  [
    'values',
    {
      'ce-source': '/odd',
      'ce-type': 'odd',
      'content-type': 'application/xml',
      'ce-nonascii': enc('Grüße, 世界 😀'),
      'ce-percent': enc('100% & %41 %'),
      'ce-quotes': enc('he said "hi" \\ and left'),
      'ce-spaces': enc(' at both ends '),
      'ce-separators': 'a,b;c=d:e|f',
      'ce-number': '007',
      'ce-truth': 'true',
      'ce-averylongnameofanextensionattribute': '1',
      'ce-long': 'x'.repeat(3_000),
    },
    '<a/>',
  ],
]

/** Events in JSON: what they are is what has to come, but for the attributes that are the same in all. */
const ODD_EVENTS: readonly (Readonly<Record<string, unknown>> & { readonly id: string })[] = [
  { id: 'json-nothing' },
  { id: 'json-empty-extension', none: '', some: 'x' },
  { id: 'json-types', whole: 42, least: -2147483648, yes: true, no: false },
  {
    id: 'json-bytes',
    datacontenttype: 'application/octet-stream',
    data_base64: Buffer.from([0, 1, 127, 128, 255]).toString('base64'),
  },
  { id: 'json-object', datacontenttype: 'application/json', data: { a: [1, null, 'é'], b: {} } },
  { id: 'json-text', datacontenttype: 'text/plain', data: 'Zeile 1\r\nZeile 2\t😀' },
]

/** Closed when the test is through: each has its own, as some run together. */
function openedIn(onTestFinished: (f: () => Promise<void>) => void): Opened {
  const opened = new Opened()
  onTestFinished(() => opened.close())
  return opened
}

function killedRows<A>(at: Place<A>): void {
  const { system } = at
  const rounds = SOAK ? 20 : (system.rounds ?? 2)
  // Where a lease is long the first one waits for nothing else, and does so beside the others.
  const row = system.longLease === true ? test.concurrent : test
  beforeAll(() => system.soon?.())

  row(
    `SIGKILL in full flow, times: ${rounds}: all that was acknowledged arrives, duplicates stay within the bound`,
    async ({ onTestFinished }) => {
      const opened = openedIn(onTestFinished)
      const name = newName('killed')
      const accepted = new Map<string, number>()
      const acceptedMs: number[] = []
      let waiting = (): number => Infinity
      // Every fifth is refused once. Nothing is taken while little waits: so a kill finds events that nobody has seen.
      const sink = await opened.sink((seen, response, nth) => {
        const answer = (): void => {
          if (waiting() < 100) return void setTimeout(answer, 5)
          const taken = nth > 1 || !/[05]$/.test(seen.id)
          response.writeHead(taken ? 200 : 503).end()
          if (!taken) return
          accepted.set(seen.id, (accepted.get(seen.id) ?? 0) + 1)
          acceptedMs.push(performance.now())
        }
        setTimeout(answer, 5)
      })
      const acceptedSince = (fromMs: number): number => acceptedMs.filter((ms) => ms > fromMs).length
      const twice = (): number => [...accepted.values()].reduce((sum, n) => sum + n - 1, 0)
      const listen = await freeAddress()
      const data = temporaryFolder()
      const manifests = [...system.broker(at.address(), name), eager(`${name}-t`, name, sink.url)]
      let g = await opened.gateway({ manifests, data, listen })
      const f = flow([`http://${listen}/default/${name}`])
      opened.also(() => f.stop())
      waiting = () => f.acknowledged.size - accepted.size
      let bound = 0
      let sinceMs = 0
      const flowing = (): Promise<unknown> => until('the flow is full', () => acceptedSince(sinceMs) > 300, BACK_WITHIN_MS)
      for (let round = 1; round <= rounds; round++) {
        await flowing()
        await g.kill()
        sinceMs = performance.now()
        // What was in flight, and what was settled since the last durable position.
        bound += IN_FLIGHT + acceptedSince(sinceMs - system.durableWithinMs)
        g = await opened.gateway({ manifests, data, listen })
      }
      await flowing()
      await f.stop()
      waiting = () => Infinity
      const missing = (): string[] => [...f.acknowledged].filter((id) => !accepted.has(id))
      await until('all that was acknowledged has arrived', () => missing().length === 0, BACK_WITHIN_MS)
      if (SOAK)
        console.log(
          `${system.name}: ${rounds} kills, ${f.acknowledged.size} acknowledged, none lost, ${twice()} duplicates (at most ${bound})`,
        )
      expect(f.acknowledged.size).toBeGreaterThan(100 * rounds)
      expect(twice()).toBeLessThanOrEqual(bound)
      expect(sink.mostInFlight()).toBeLessThanOrEqual(2 * IN_FLIGHT)
      expect([...f.refused.keys()].filter((status) => status !== 0 && status !== 503)).toEqual([])
      expect(await g.stop()).toBe(0)
    },
    900_000,
  )

  // These two mostly wait, for what is due and for the system to give back what the killed gateway held: together.
  test.concurrent('a long wait survives SIGKILL: attempts are counted on, it comes when it is due, what is given up can be replayed', async ({
    onTestFinished,
  }) => {
    const opened = openedIn(onTestFinished)
    const name = newName('long')
    let well = false
    const sink = await opened.sink((seen, response, nth) => {
      const fails = seen.path === '/late' ? nth === 1 : seen.path === '/never' && !well
      response.writeHead(fails ? 503 : 200).end()
    })
    const waits = (t: string, retry: number): unknown =>
      trigger(`${name}-${t}`, `${sink.url}${t}`, {
        broker: name,
        spec: { filter: { attributes: { type: t } }, delivery: { retry, backoffPolicy: 'linear', backoffDelay: 'PT7S' } },
      })
    const manifests = [...system.broker(at.address(), name), waits('late', 3), waits('never', 1), waits('other', 0)]
    const data = temporaryFolder()
    let g = await opened.gateway({ manifests, data })
    const ids = (t: string): string[] => [0, 1, 2].map((n) => `${t}${n}`)
    const give = async (t: string): Promise<void> => {
      for (const id of ids(t)) expect(await sendEvent(`${g.listen}/default/${name}`, id, { 'ce-type': t })).toBe(202)
    }
    await give('late')
    await give('never')
    await until('they rest outside of memory', async () => {
      const [late, never] = await Promise.all(['late', 'never'].map((t) => numbersOf(g, `${name}-${t}`)))
      return late?.detached === 3 && never?.detached === 3
    })
    const restingMs = performance.now()
    await give('other')
    await until('others are not held back', () => missingFrom(sink, ids('other')).length === 0)
    await until('what was settled is durable', () => performance.now() - restingMs > system.durableWithinMs)
    await g.kill()
    g = await opened.gateway({ manifests, data })
    await until('both came again', () => [...ids('late'), ...ids('never')].every((id) => sink.counts().get(id) === 2), 60_000)
    for (const id of [...ids('late'), ...ids('never')]) {
      const [first, second] = sink.seen.filter((s) => s.id === id).map((s) => s.atMs)
      // Seven seconds, give or take a fifth.
      expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(5_500)
    }
    const parked = await until('the one that never gets well is parked', async () => {
      const { items } = await g.api<{ items: { event: { id: string }; attempts: { attempt: number; status: number }[] }[] }>(
        `/api/v1/dlq/trigger/default/${name}-never`,
      )
      return items.length === 3 ? items : null
    })
    const twice = [1, 2].map((attempt) => ({ attempt, status: 503 }))
    for (const entry of parked) expect(entry.attempts.map(({ attempt, status }) => ({ attempt, status }))).toEqual(twice)
    const parkedMs = performance.now()
    await until('that it is parked is durable', () => performance.now() - parkedMs > system.durableWithinMs)
    await g.kill()
    g = await opened.gateway({ manifests, data })
    well = true
    const { out, code } = await until('it can be replayed', async () => {
      const done = await cli(g, 'dlq', 'replay', `trigger/default/${name}-never`)
      return done.out.startsWith('3 matched') ? done : null
    })
    expect(out).toMatch(/^3 matched, 3 replayed, 0 failed/)
    expect(code).toBe(0)
    // A system that had not yet written that it was acknowledged gives it once more, and nothing else does.
    const times = sink.counts()
    for (const id of ids('late')) expect(times.get(id)).toBe(2)
    for (const id of ids('never')) expect([3, 4]).toContain(times.get(id))
    for (const id of ids('other')) expect(times.get(id)).toBe(1)
    expect(times.size).toBe(9)
  })

  if (system.ordered)
    test.concurrent('ordered: SIGKILL in the middle changes nothing of the order', async ({ onTestFinished }) => {
      const opened = openedIn(onTestFinished)
      const name = newName('order')
      const sink = await opened.sink((seen, response, nth) => {
        setTimeout(() => response.writeHead(failsAtFirst(seen, nth) ? 503 : 200).end(), 20)
      })
      const data = temporaryFolder()
      const manifests = orderedManifests(at, name, sink.url)
      const first = await opened.gateway({ manifests, data })
      const give = async (g: RunningGateway, from: number, to: number): Promise<void> => {
        for (let n = from; n < to; n++)
          expect(await sendEvent(`${g.listen}/default/${name}`, `o${n}`, { 'ce-partitionkey': 'one' })).toBe(202)
      }
      await give(first, 0, 60)
      await until('it is under way', () => sink.seen.length > 20)
      await first.kill()
      const second = await opened.gateway({ manifests, data })
      await give(second, 60, 80)
      const sent = Array.from({ length: 80 }, (_, n) => `o${n}`)
      await until('all have come', () => missingFrom(sink, sent).length === 0, BACK_WITHIN_MS)
      const came = sink.seen.map((s) => Number(s.id.slice(1)))
      expect([...new Set(came)]).toEqual(sent.map((_, n) => n))
      // Only the restart goes back, once, to where the position was recorded.
      expect(came.filter((n, i) => n < (came[i - 1] ?? 0)).length).toBeLessThanOrEqual(1)
      expect(sink.mostInFlight()).toBe(1)
    })
}

function sharedRows<A>(at: Place<A>): void {
  const { system } = at
  const opened = new Opened()
  afterEach(() => opened.close())

  test('share what stands in the system: each event once; when one is killed the other goes on', async () => {
    const name = newName('shared')
    const sink = await opened.sink((_seen, response) => void setTimeout(() => response.writeHead(200).end(), 2))
    const manifests = [...system.broker(at.address(), name), eager(`${name}-t`, name, sink.url)]
    const first = await opened.gateway({ manifests })
    const listen = await freeAddress()
    const f = flow([`${first.listen}/default/${name}`, `http://${listen}/default/${name}`])
    opened.also(() => f.stop())
    await until('it flows', () => sink.seen.length > 100)
    const second = await opened.gateway({ manifests, listen })
    const delivered = async (g: RunningGateway): Promise<number> => (await numbersOf(g, `${name}-t`)).delivered
    const before = await delivered(first)
    await until(
      'both deliver',
      async () => (await delivered(first)) > before + 100 && (await delivered(second)) > 100,
      BACK_WITHIN_MS,
    )
    expect(duplicates(sink)).toBe(0)
    await second.kill()
    const killedMs = performance.now()
    const bound = IN_FLIGHT + seenBetween(sink, killedMs - system.durableWithinMs, killedMs)
    const acknowledged = f.acknowledged.size
    await until('the other goes on', () => f.acknowledged.size > acknowledged + 300)
    await f.stop()
    await until('all that was acknowledged has arrived', () => missingFrom(sink, f.acknowledged).length === 0, BACK_WITHIN_MS)
    expect(duplicates(sink)).toBeLessThanOrEqual(bound)
    expect(await first.stop()).toBe(0)
  })
}

function serverRows<A>(at: Place<A>): void {
  const { system } = at
  const opened = new Opened()
  afterEach(() => opened.close())

  test('is unavailable with 503 while it is away, and nothing that was acknowledged is lost', async () => {
    if (system.own === null) throw new Error('it has no server')
    const server = await system.own.start()
    opened.also(() => server.stop())
    const name = newName('dies')
    let held: Promise<void> | null = null
    let release = (): void => {}
    let answered = 0
    const sink = await opened.sink((_seen, response) => {
      const answer = (): void => {
        answered++
        response.writeHead(200).end()
      }
      if (held === null) answer()
      else void held.then(answer)
    })
    const manifests = [...system.broker(server.address, name), eager(`${name}-t`, name, sink.url), broker('here')]
    const g = await opened.gateway({ manifests: [...manifests, eager('here-t', 'here', sink.url)] })
    await allWell(g)
    const url = `${g.listen}/default/${name}`
    const f = flow([url], 'e', 4)
    opened.also(() => f.stop())
    await until('it flows', () => sink.seen.length > 200)
    await server.settle?.()
    held = new Promise((resolve) => {
      release = resolve
    })
    await until('every credit is taken', () => sink.inFlight() === IN_FLIGHT)
    await server.kill()
    const killedMs = performance.now()
    const refused = (): number => f.refused.get(503) ?? 0
    await until('it refuses', () => refused() > 0, BACK_WITHIN_MS)
    // What is settled now cannot be told to the server before it is back.
    const before = answered
    held = null
    release()
    await until('what ran has ended', () => sink.inFlight() === 0)
    const acknowledged = f.acknowledged.size
    await until('it refuses everybody', () => refused() >= 4, BACK_WITHIN_MS)
    expect(f.acknowledged.size).toBe(acknowledged)
    const degraded = await until('it says so', async () => {
      const state = await g.api<{ degraded: { resource: string; message: string }[] }>('/readyz')
      return state.degraded.find((d) => d.resource === `broker/default/${name}`)
    })
    expect(degraded.message).not.toBe('')
    // Another Broker of the same gateway knows nothing of it.
    expect(await sendEvent(`${g.listen}/default/here`, 'beside')).toBe(202)
    await until('it is delivered', () => sink.counts().has('beside'))
    const settledAway = answered - before
    await server.restart()
    await until('it takes events again', () => f.acknowledged.size > acknowledged + 200, BACK_WITHIN_MS)
    await f.stop()
    await until('all that was acknowledged has arrived', () => missingFrom(sink, f.acknowledged).length === 0, BACK_WITHIN_MS)
    expect([...f.refused.keys()]).toEqual([503])
    expect(settledAway).toBeGreaterThanOrEqual(IN_FLIGHT)
    // Beside that, what was settled before and is not durable yet: on our way to the server, and in the server itself.
    const unsure = system.durableWithinMs + (system.serverForgetsMs ?? 0)
    const bound = IN_FLIGHT + settledAway + seenBetween(sink, killedMs - unsure, killedMs)
    if (SOAK)
      console.log(
        `${system.name}: ${settledAway} settled while the server was away, ${duplicates(sink)} duplicates (at most ${bound})`,
      )
    expect(duplicates(sink)).toBeLessThanOrEqual(bound)
    await allWell(g)
    expect(await g.stop()).toBe(0)
  }, 400_000)
}

function unusableRows<A>(at: Place<A>): void {
  const { system } = at
  /** The gateway lives with it: says why, refuses with 503, serves others, and ends when it is told to. */
  const livesWith = async (name: string, manifests: readonly unknown[]): Promise<void> => {
    const opened = new Opened()
    try {
      await lives(opened, name, manifests)
    } finally {
      await opened.close()
    }
  }
  const lives = async (opened: Opened, name: string, manifests: readonly unknown[]): Promise<void> => {
    const sink = await opened.sink()
    const g = await opened.gateway({
      manifests: [...manifests, eager(`${name}-t`, name, sink.url), broker('here'), eager('here-t', 'here', sink.url)],
      args: ['--grace', '10s'],
    })
    const degraded = await until('it says so', async () => {
      const state = await g.api<{ ready: boolean; degraded: { resource: string; reason: string; message: string }[] }>('/readyz')
      return state.ready ? state.degraded.find((d) => d.resource === `broker/default/${name}`) : null
    })
    expect(degraded.reason).toMatch(/^[A-Z][A-Za-z]+$/)
    expect(degraded.message).not.toBe('')
    expect(await sendEvent(`${g.listen}/default/${name}`, 'one')).toBe(503)
    expect(await sendEvent(`${g.listen}/default/here`, 'two')).toBe(202)
    await until('it is delivered', () => sink.counts().has('two'))
    const toldMs = performance.now()
    expect(await g.stop()).toBe(0)
    expect(performance.now() - toldMs).toBeLessThan(20_000)
    expect(sink.counts().has('one')).toBe(false)
  }

  // Both wait for what does not come: together.
  test.concurrent('because nobody listens: the reason is told, 503, nobody else is held up, and the gateway ends in time', async () => {
    const name = newName('nowhere')
    if (system.nowhere === null) throw new Error('it is everywhere')
    await livesWith(name, system.broker(system.nowhere, name))
  })

  const { refused } = system
  if (refused !== undefined)
    test.skipIf(refused.skip).concurrent('because it refuses the login: the same', async () => {
      const name = newName('refused')
      await livesWith(name, await refused.manifests(name))
    })
}
