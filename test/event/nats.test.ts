import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CloudEvent, NEW_ENVELOPE } from '../../src/event/event.ts'
import { fromNatsMessage, natsHeader, natsHeaderLine, toNatsMessage, type NatsContent } from '../../src/event/nats.ts'
import { anEvent, bytes, shape, textShape } from './events.ts'

const RUNS = { numRuns: 400 }

function blockOf(head: string): Uint8Array | null {
  return head === '' ? null : Buffer.from(`NATS/1.0\r\n${head}\r\n`, 'latin1')
}

function read({ head, payload }: NatsContent): CloudEvent {
  const event = fromNatsMessage(blockOf(`Nats-Msg-Id: x1\r\n${head}`), payload)
  if (event === null) throw new Error(`no event: ${head}`)
  return event
}

const plain = (change: Partial<CloudEvent> = {}): CloudEvent =>
  new CloudEvent({ id: '1', source: '/s', type: 't', data: bytes('x'), ...change })

/** As Knative's dispatcher writes it: the JSON format, no header but the id. */
const KNATIVE = '{"specversion":"1.0","id":"k1","source":"/k","type":"t","datacontenttype":"application/json","data":{"a":1}}'

describe('an event is the same after NATS', () => {
  test('whatever it holds', () => {
    fc.assert(
      fc.property(anEvent, (e) => {
        expect(textShape(read(toNatsMessage(e)))).toEqual(textShape(e))
      }),
      RUNS,
    )
  })
  test('with what travels beside it, which stands in no attribute', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 20 })
    const envelope = fc.record({
      ttl: fc.integer({ min: 0, max: 255 }),
      hops: fc.nat(1000),
      root: text,
      key: text,
      headers: fc.array(text, { maxLength: 4 }),
    })
    fc.assert(
      fc.property(anEvent, envelope, (e, beside) => {
        const sent = e.with({ envelope: { ...NEW_ENVELOPE, ...beside } })
        const event = read(toNatsMessage(sent))
        expect(event.envelope).toMatchObject(beside)
        expect(textShape(event)).toEqual(textShape(sent))
      }),
      RUNS,
    )
  })
  test('as a head nothing can break out of', () => {
    fc.assert(
      fc.property(anEvent, (e) => {
        const lines = toNatsMessage(e).head.split('\r\n')
        expect(lines.pop()).toBe('')
        for (const line of lines) expect(line).toMatch(/^[a-z-]+[a-z0-9-]*: [\x20-\x7e]*$/)
      }),
      RUNS,
    )
  })
})

describe('writing', () => {
  test('data goes as it is, with headers; what headers cannot say goes as a JSON event', () => {
    const binary = toNatsMessage(plain({ datacontenttype: 'application/json', data: bytes('{"a": 1}') }))
    expect(binary.head).toContain('ce-specversion: 1.0\r\n')
    expect(binary.head).toContain('content-type: application/json\r\n')
    expect(Buffer.from(binary.payload).toString()).toBe('{"a": 1}')
    expect(toNatsMessage(plain({ data: null })).head).toContain('ce-specversion: 1.0\r\n')
    for (const e of [plain({ data: bytes('') }), plain({ extensions: [['empty', '']] })]) {
      const json = toNatsMessage(e)
      expect(json.head).toContain('content-type: application/cloudevents+json')
      expect(JSON.parse(Buffer.from(json.payload).toString())).toMatchObject({ id: '1' })
    }
  })
  test('no data, empty data and data are three things', () => {
    for (const datacontenttype of [undefined, 'text/plain', 'application/json', 'image/png']) {
      expect(read(toNatsMessage(plain({ datacontenttype, data: null }))).data).toBeNull()
      expect(read(toNatsMessage(plain({ datacontenttype, data: bytes('') }))).data).toHaveLength(0)
      expect(read(toNatsMessage(plain({ datacontenttype, data: bytes('1') }))).data).toHaveLength(1)
    }
  })
  test('space around JSON stays', () => {
    const e = plain({ datacontenttype: 'application/json', data: bytes(' {"a":1}\n') })
    expect(shape(read(toNatsMessage(e)))).toEqual(shape(e))
  })
  test('an event from outside has no header of ours', () => {
    expect(toNatsMessage(plain()).head).not.toContain('sluice')
    expect(toNatsMessage(plain({ envelope: { ...NEW_ENVELOPE, hops: 1 } })).head).toContain('sluice-envelope: ')
  })
  test('empty values, non-ASCII and percent signs arrive', () => {
    const e = plain({
      id: 'ü "50%" \u{1f600}',
      subject: 'a b',
      extensions: [
        ['empty', ''],
        ['comma', 'a,b:c'],
      ],
    })
    expect(shape(read(toNatsMessage(e)))).toEqual(shape(e))
  })
  test('the trace goes along', () => {
    const e = plain({ envelope: { ...NEW_ENVELOPE, traceparent: '00-ab-cd-01', tracestate: 'a=1, b=2' } })
    expect(read(toNatsMessage(e)).envelope).toMatchObject({ traceparent: '00-ab-cd-01', tracestate: 'a=1, b=2' })
  })
})

describe('reading', () => {
  test("Knative's JSON without a content type", () => {
    const event = fromNatsMessage(blockOf('Nats-Msg-Id: k1\r\n'), bytes(KNATIVE))
    expect(event).toMatchObject({ id: 'k1', source: '/k', datacontenttype: 'application/json' })
    expect(Buffer.from(event!.data!).toString()).toBe('{"a":1}')
    expect(fromNatsMessage(null, bytes(` \n${KNATIVE}`))?.id).toBe('k1')
  })
  test("Go's SDK in binary mode, which encodes nothing, and names as MIME has them", () => {
    const head = 'Ce-Specversion: 1.0\r\nCe-Id: 50%\r\nCe-Source: /s\r\nCe-Type: t\r\nContent-Type: image/png\r\nCe-Foo: ü\r\n'
    const event = fromNatsMessage(Buffer.from(`NATS/1.0\r\n${head}\r\n`, 'utf8'), bytes('x'))
    expect(event).toMatchObject({ id: '50%', datacontenttype: 'image/png', extensions: [['foo', 'ü']] })
  })
  test('what is no event is none', () => {
    expect(fromNatsMessage(null, bytes('hello'))).toBeNull()
    expect(fromNatsMessage(null, bytes(''))).toBeNull()
    expect(fromNatsMessage(null, bytes('{"a":1}'))).toBeNull()
    expect(fromNatsMessage(null, bytes('{"specversion":"1.0"'))).toBeNull()
    expect(fromNatsMessage(blockOf('ce-specversion: 1.0\r\nce-id: 1\r\n'), bytes('x'))).toBeNull()
    expect(fromNatsMessage(blockOf('content-type: application/cloudevents-batch+json\r\n'), bytes(`[${KNATIVE}]`))).toBeNull()
  })
  test('whatever bytes there are, it never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 60 }), (head, payload) => {
        const block = Buffer.concat([Buffer.from('NATS/1.0\r\n'), head, Buffer.from('\r\n\r\n')])
        const event = fromNatsMessage(block, payload)
        expect(event === null || event.id !== '').toBe(true)
      }),
      RUNS,
    )
  })
  test('a foreign or broken envelope is no envelope', () => {
    for (const text of ['', '[]', '{}', '[1,2,3,4,5]', '[1,2,"r","k",[3]]', 'x', '%']) {
      const event = fromNatsMessage(blockOf(`sluice-envelope: ${text}\r\n`), bytes(KNATIVE))
      expect(event?.envelope).toEqual(NEW_ENVELOPE)
    }
  })
})

test('one header is found by its name, decoded', () => {
  const block = blockOf(`a: 1\r\n${natsHeaderLine('sluice-state', '{"why":"ü\r\n"}')}b: 2\r\n`)
  expect(natsHeader(block, 'sluice-state')).toBe('{"why":"ü\r\n"}')
  expect(natsHeader(block, 'b')).toBe('2')
  expect(natsHeader(block, 'sluice')).toBe('')
  expect(natsHeader(null, 'a')).toBe('')
})
