import { afterEach, describe, expect, test } from 'vitest'
import { CloudEvent } from '../../src/event/event.ts'
import { decodeBatch } from '../../src/event/json.ts'
import { acceptedBatch, REPLY_BYTES } from '../../src/sender/outcome.ts'
import { attempt, bed, EVENT, LANES, type Bed } from './parts.ts'
import { answer, openRude, type Manners, type RudeServer } from './rude-server.ts'

const second = new CloudEvent({
  id: 'e-2',
  source: '/test',
  type: 'test.sent',
  data: Buffer.from('{"n":2}'),
  datacontenttype: 'application/json',
})
const batch = [EVENT, second]
const json = 'content-type: application/json'

describe.each(LANES)('%s lane: a batch', (lane) => {
  const open: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of open.splice(0)) await close()
  })
  async function set(request: NonNullable<Manners['request']>): Promise<{ b: Bed; server: RudeServer }> {
    const server = await openRude({ request })
    const b = bed(lane)
    open.push(
      () => b.sender.close(),
      () => server.close(),
    )
    return { b, server }
  }

  test('is one request with one JSON array, and says nothing of one event in its head', async () => {
    const seen: { head: string; body: Buffer }[] = []
    const { b, server } = await set((r) => {
      seen.push({ head: r.head, body: r.body })
      r.socket.write(answer(204, ''))
    })
    const { outcome, credit } = attempt(b, server.origin, { batch })
    expect(await outcome).toEqual({ kind: 'accepted', status: 204 })
    expect(credit.released).toHaveLength(1)
    expect(seen).toHaveLength(1)
    expect(seen[0]!.head).toMatch(/content-type: application\/cloudevents-batch\+json/i)
    expect(seen[0]!.head).not.toMatch(/ce-id/i)
    const events = decodeBatch(seen[0]!.body)
    expect(Array.isArray(events) && events.map((e) => [e.id, Buffer.from(e.data!).toString()])).toEqual([
      ['e-1', 'hello'],
      ['e-2', '{"n":2}'],
    ])
  })

  test('tells which of its events failed', async () => {
    const { b, server } = await set((r) => {
      r.socket.write(answer(200, '{"failed":[{"source":"/test","id":"e-2","retryable":false}]}', json))
    })
    const o = await attempt(b, server.origin, { batch }).outcome
    expect(o).toEqual({ kind: 'accepted', status: 200, failed: [{ source: '/test', id: 'e-2', retryable: false }] })
  })

  test('a body that is no JSON means nothing', async () => {
    const { b, server } = await set((r) => void r.socket.write(answer(200, '{"failed":', 'content-type: text/plain')))
    expect(await attempt(b, server.origin, { batch }).outcome).toEqual({ kind: 'accepted', status: 200 })
  })

  test('the same body to a single event means nothing either', async () => {
    const { b, server } = await set((r) => {
      r.socket.write(answer(200, '{"failed":[{"source":"/test","id":"e-1"}]}', json))
    })
    expect(await attempt(b, server.origin).outcome).toEqual({ kind: 'accepted', status: 200 })
  })

  test('an answer larger than a reply may be fails the batch', async () => {
    const { b, server } = await set((r) => void r.socket.write(answer(200, ' '.repeat(REPLY_BYTES + 1), json)))
    expect(await attempt(b, server.origin, { batch }).outcome).toMatchObject({ kind: 'retryable', status: 200 })
  })
})

describe('what the answer to a batch says', () => {
  const said = (text: string): unknown => acceptedBatch(200, Buffer.from(text), batch)
  test.each(['', '{}', '[]', 'null', '"failed"', '{"failed":[]}'])('%j: all of it was taken', (text) => {
    expect(said(text)).toEqual({ kind: 'accepted', status: 200 })
  })
  test('an event may be tried again unless it says otherwise', () => {
    expect(said('{"failed":[{"source":"/test","id":"e-1"}]}')).toMatchObject({ failed: [{ id: 'e-1', retryable: true }] })
  })
  test.each([
    ['{"failed":', 'is none'],
    ['{"failed":"e-1"}', 'no list'],
    ['{"failed":["e-1"]}', 'without source or id'],
    ['{"failed":[{"id":"e-1"}]}', 'without source or id'],
    ['{"failed":[{"source":"/other","id":"e-1"}]}', 'which it does not hold'],
  ])('%s cannot be understood: all of it is tried again', (text, why) => {
    expect(said(text)).toMatchObject({ kind: 'retryable', why: expect.stringContaining(why) as string })
  })
})
