import { describe, expect, test } from 'vitest'
import type { Appended } from '../../../src/contract/stream.ts'
import type { NatsError } from '../../../src/vendor/nats/errors.ts'
import { Publisher } from '../../../src/streams/nats/publisher.ts'
import { VirtualClock } from '../../simulation/virtual-clock.ts'
import { LinkDouble, type Published } from './double.ts'

function rig(): {
  link: LinkDouble
  clock: VirtualClock
  publisher: Publisher
  ready: { is: boolean }
  missing: { times: number }
  refused: (NatsError | null)[]
  send(...texts: string[]): { result: Appended | null }
  pass(ms: number): void
} {
  const link = new LinkDouble()
  const clock = new VirtualClock()
  const ready = { is: true }
  const missing = { times: 0 }
  const refused: (NatsError | null)[] = []
  const publisher = new Publisher({
    link,
    clock,
    session: 's',
    ready: () => ready.is,
    missing: () => missing.times++,
    refused: (e) => refused.push(e),
    why: () => 'NATS is away',
  })
  return {
    link,
    clock,
    publisher,
    ready,
    missing,
    refused,
    send(...texts) {
      const out: { result: Appended | null } = { result: null }
      const contents = texts.map((text) => ({ head: '', payload: Buffer.from(text) }))
      publisher.send('a.b', contents, (r) => (out.result = r))
      return out
    },
    pass: (ms) => clock.advance(ms),
  }
}

const idOf = (p: Published): string => /Nats-Msg-Id: (\S+)/.exec(p.head)?.[1] ?? ''
const STORED = '{"stream":"S", "seq":1}'
const error = (code: number, text: string): string =>
  `{"error":{"code":503,"err_code":${code},"description":"${text}"},"stream":"S","seq":0}`

describe('an append', () => {
  test('is durable when every one of its events is stored, in any order of answers', () => {
    const r = rig()
    const out = r.send('1', '2', '3')
    const sent = r.link.taken()
    expect(sent.map((p) => p.data)).toEqual(['1', '2', '3'])
    expect(new Set(sent.map(idOf)).size).toBe(3)
    for (const i of [2, 0]) r.link.answer(sent[i]!.reply, STORED)
    expect(out.result).toBeNull()
    r.link.answer(sent[1]!.reply, STORED)
    expect(out.result).toEqual({ kind: 'durable' })
  })

  test('that got no answer goes again under the same ids, in its order, before what is newer', () => {
    const r = rig()
    const out = r.send('1', '2')
    const first = r.link.taken()
    r.link.answer(first[0]!.reply, STORED)
    r.link.up = false
    const later = r.send('3')
    r.pass(2_000)
    expect(r.link.taken()).toEqual([])
    r.link.up = true
    r.publisher.resend()
    const again = r.link.taken()
    expect(again.map((p) => p.data)).toEqual(['2', '3'])
    expect(idOf(again[0]!)).toBe(idOf(first[1]!))
    for (const p of again) r.link.answer(p.reply, STORED)
    expect([out.result, later.result]).toEqual([{ kind: 'durable' }, { kind: 'durable' }])
  })

  test('that JetStream is silent about goes again after a while, on the same connection', () => {
    const r = rig()
    r.send('1')
    const [first] = r.link.taken()
    r.pass(2_900)
    expect(r.link.taken()).toEqual([])
    r.pass(1_000)
    expect(r.link.taken().map(idOf)).toEqual([idOf(first!)])
  })

  test('of new events never has an id of an earlier one', () => {
    const r = rig()
    const ids = Array.from({ length: 500 }, (_, i) => {
      r.send(String(i))
      return idOf(r.link.taken()[0]!)
    })
    expect(new Set(ids).size).toBe(500)
  })

  test('is unavailable after ten seconds, and partial where its first events are stored', () => {
    const r = rig()
    const [whole, part] = [r.send('1'), r.send('2', '3')]
    const sent = r.link.taken()
    r.link.answer(sent[1]!.reply, STORED)
    r.link.up = false
    r.pass(9_400)
    expect(whole.result).toBeNull()
    r.pass(1_500)
    expect(whole.result).toEqual({ kind: 'unavailable', retryAfterMs: 1_000, why: 'NATS is away' })
    expect(part.result).toEqual({ kind: 'partial', durable: 1 })
    // Nothing of it is sent any more.
    r.link.up = true
    r.publisher.resend()
    expect(r.link.taken()).toEqual([])
  })

  test('waits for the stream, and asks for it to be looked after when nobody listens on its subject', () => {
    const r = rig()
    r.ready.is = false
    const out = r.send('1')
    expect(r.link.taken()).toEqual([])
    r.ready.is = true
    r.publisher.flush()
    const [sent] = r.link.taken()
    r.link.answer(sent!.reply, '')
    expect(r.missing.times).toBe(1)
    expect(out.result).toBeNull()
    r.publisher.resend()
    r.link.answer(r.link.taken()[0]!.reply, STORED)
    expect(out.result).toEqual({ kind: 'durable' })
  })

  test.each([
    [10_077, 'maximum messages exceeded', { kind: 'full' }],
    [10_002, 'resource limits exceeded for account', { kind: 'full' }],
    [10_054, 'message size exceeds maximum allowed', { kind: 'too-large', limitBytes: 2 ** 20 }],
  ])('is refused as what error %d says', (code, text, result) => {
    const r = rig()
    const out = r.send('1')
    r.link.answer(r.link.taken()[0]!.reply, error(code, text))
    expect(out.result).toMatchObject(result)
    expect(r.refused[0]?.message).toContain(text)
  })

  test('is tried on where an error may pass', () => {
    const r = rig()
    const out = r.send('1')
    r.link.answer(r.link.taken()[0]!.reply, error(10_008, 'system temporarily unavailable'))
    expect(out.result).toBeNull()
    r.pass(4_000)
    r.link.answer(r.link.taken()[0]!.reply, STORED)
    expect(out.result).toEqual({ kind: 'durable' })
    expect(r.refused.at(-1)).toBeNull()
  })
})

test('so many are under way at once, and each answer makes room for the next', () => {
  const r = rig()
  const texts = Array.from({ length: 5_000 }, (_, i) => String(i))
  const out = r.send(...texts)
  const sent = r.link.taken()
  expect(sent).toHaveLength(4_096)
  r.link.answer(sent[7]!.reply, STORED)
  const [next] = r.link.taken()
  expect(next?.data).toBe('4096')
  for (const p of sent) r.link.answer(p.reply, STORED)
  for (const p of [next!, ...r.link.taken()]) r.link.answer(p.reply, STORED)
  expect(out.result).toEqual({ kind: 'durable' })
  // An answer that comes twice is nobody's.
  r.link.answer(sent[0]!.reply, STORED)
})

test('closing waits for answers until the signal, then says that they did not come', async () => {
  const r = rig()
  const [one, two] = [r.send('1'), r.send('2')]
  const sent = r.link.taken()
  const over = new AbortController()
  const closed = r.publisher.close(over.signal)
  r.link.answer(sent[0]!.reply, STORED)
  expect(one.result).toEqual({ kind: 'durable' })
  over.abort()
  await closed
  expect(two.result).toMatchObject({ kind: 'unavailable' })
  expect(r.send('3').result).toMatchObject({ kind: 'unavailable', why: 'the stream is closed' })
})
