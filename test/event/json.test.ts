import { CloudEvent as SdkEvent, HTTP } from 'cloudevents'
import { describe, expect, test } from 'vitest'
import type { BadEvent } from '../../src/event/attributes.ts'
import { isBad } from '../../src/event/attributes.ts'
import { CloudEvent } from '../../src/event/event.ts'
import { decodeBatch, decodeStructured, encodeBatch, encodeStructured } from '../../src/event/json.ts'
import { bytes } from './events.ts'

const REQUIRED = '"specversion":"1.0","id":"1","source":"/s","type":"t"'
const OLD = REQUIRED.replace('1.0', '0.3')

function read(members: string): CloudEvent {
  const result = decodeStructured(bytes(`{${members}}`))
  if (isBad(result)) throw new Error(result.message)
  return result
}

function refused(text: string): BadEvent {
  const result = decodeStructured(bytes(text))
  if (!isBad(result)) throw new Error('taken')
  return result
}

const dataOf = (e: CloudEvent): string | null => (e.data === null ? null : Buffer.from(e.data).toString())
const written = (e: CloudEvent): string => Buffer.from(encodeStructured(e)).toString()

describe('the data of a structured event', () => {
  test('is the JSON text as it was written: digits, order of keys, spaces inside', () => {
    const text = '{ "z": 1.10, "a": 12345678901234567890, "\\u0061": [ 1e2 ] }'
    const e = read(`${REQUIRED},"datacontenttype":"application/json","data": ${text} `)
    expect(dataOf(e)).toBe(text)
    expect(written(e)).toContain(`"data":${text}}`)
  })
  test('is a view into the body, not a copy', () => {
    const body = bytes(`{${REQUIRED},"data":{"a":1}}`)
    const e = decodeStructured(body) as CloudEvent
    expect(e.data?.buffer).toBe(body.buffer)
    const text = bytes(`{${REQUIRED},"datacontenttype":"text/plain","data":"plain"}`)
    expect((decodeStructured(text) as CloudEvent).data?.buffer).toBe(text.buffer)
  })
  test('comes before the content type as well as after it', () => {
    expect(dataOf(read(`"data":"a\\nb",${REQUIRED},"datacontenttype":"text/plain"`))).toBe('a\nb')
    expect(dataOf(read(`"data":"a\\nb",${REQUIRED},"datacontenttype":"application/json"`))).toBe('"a\\nb"')
  })
  test('without a content type is JSON and is called so', () => {
    expect(read(`${REQUIRED},"data":"x"`)).toMatchObject({ datacontenttype: 'application/json', data: bytes('"x"') })
    expect(read(`${REQUIRED},"data_base64":"eA=="`)).toMatchObject({ datacontenttype: undefined, data: Buffer.from('x') })
  })
  test('null is none', () => {
    expect(read(`${REQUIRED},"data":null`).data).toBeNull()
    expect(dataOf(read(`${REQUIRED},"data":null,"data_base64":"eA=="`))).toBe('x')
  })
  test('of version 0.3 is base64 where it says so, and stays version 0.3', () => {
    const e = read(`${OLD},"datacontentencoding":"base64","data":"//8=","datacontenttype":"image/png","schemaurl":"/x"`)
    expect(e).toMatchObject({ specversion: '0.3', data: Buffer.from([255, 255]), extensions: [], dataschema: '/x' })
    expect(JSON.parse(written(e))).toMatchObject({
      specversion: '0.3',
      datacontentencoding: 'base64',
      data: '//8=',
      schemaurl: '/x',
    })
    expect(e.attribute('datacontentencoding')).toBeUndefined()
  })
  test('of version 0.3 in another encoding keeps saying so', () => {
    const e = read(`${OLD},"datacontentencoding":"8bit","data":"x","datacontenttype":"text/plain"`)
    expect(e.attribute('datacontentencoding')).toBe('8bit')
    expect(JSON.parse(written(e))).toMatchObject({ datacontentencoding: '8bit', data: 'x' })
  })
  test.for([
    ['application/json', '{"a":1}', '"data":{"a":1}'],
    ['application/json', '{"a":', '"data_base64":"eyJhIjo="'],
    ['application/json', '', '"data_base64":""'],
    ['text/plain', 'a"é', '"data":"a\\"é"'],
    ['application/xml', '<a/>', '"data":"<a/>"'],
    ['application/octet-stream', 'text', '"data_base64":"dGV4dA=="'],
    ['application/octet-stream; charset=utf-8', 'text', '"data":"text"'],
    [undefined, '5', '"data_base64":"NQ=="'],
  ] as const)('%s %s is written as %s', ([datacontenttype, data, member]) => {
    expect(written(new CloudEvent({ id: '1', source: '/s', type: 't', datacontenttype, data: bytes(data) }))).toContain(
      `,${member}}`,
    )
  })
})

describe('a structured event is refused', () => {
  test.for<[text: string, attribute: string]>([
    ['', ''],
    ['[]', ''],
    ['"x"', ''],
    ['{', ''],
    [`{${REQUIRED}`, ''],
    [`{${REQUIRED},}`, ''],
    [`{${REQUIRED}} x`, ''],
    [`{${REQUIRED},"data":{"a":01}}`, ''],
    [`{${REQUIRED},"id":"2"}`, 'id'],
    [`{${REQUIRED},"ext":"2","ext":"3"}`, 'ext'],
    [`{${REQUIRED},"data":1,"data":2}`, 'data'],
    [`{${REQUIRED},"data":1,"data_base64":"eA=="}`, 'data_base64'],
    [`{${REQUIRED},"data_base64":"eA"}`, 'data_base64'],
    [`{${REQUIRED},"data_base64":5}`, 'data_base64'],
    [`{${OLD},"data_base64":"eA=="}`, 'data_base64'],
    [`{${OLD},"datacontentencoding":"base64","data":"x"}`, 'data'],
    [`{${REQUIRED},"n":2147483648}`, 'n'],
    [`{${REQUIRED},"n":1.0}`, 'n'],
    [`{${REQUIRED},"n":{}}`, 'n'],
    [`{${REQUIRED},"N":1}`, 'N'],
    [`{${REQUIRED},"time":"2018-04-05"}`, 'time'],
    [`{${REQUIRED},"time":5}`, 'time'],
    [`{${REQUIRED},"subject":true}`, 'subject'],
    [`{${REQUIRED},"dataschema":"relative"}`, 'dataschema'],
    [`{${REQUIRED},"ext":"\\ud800"}`, 'ext'],
    [`{${REQUIRED.replace('1.0', '1.1')}}`, 'specversion'],
  ])('%s, naming "%s"', ([text, attribute]) => {
    expect(refused(text)).toMatchObject({ kind: 'bad', code: 'ingress.bad-event', attribute })
    expect(refused(text).message).toContain(attribute)
  })
  test('that is no UTF-8', () => {
    expect(isBad(decodeStructured(Buffer.from(`{${REQUIRED},"ext":"\xff"}`, 'latin1')))).toBe(true)
  })
  test('with more extensions than anybody has', () => {
    const many = Array.from({ length: 257 }, (_, i) => `"x${i}":1`).join()
    expect(refused(`{${REQUIRED},${many}}`)).toMatchObject({ attribute: 'x256' })
  })
})

test('types of extensions are kept', () => {
  const e = read(`${REQUIRED},"i":-5,"zero":-0,"b":true,"s":"5","none":null`)
  expect(e.extensions).toEqual([
    ['i', -5],
    ['zero', 0],
    ['b', true],
    ['s', '5'],
  ])
  expect(JSON.parse(written(e))).toMatchObject({ i: -5, b: true, s: '5' })
})

test('a byte order mark and white space around the event do not matter', () => {
  expect(isBad(decodeStructured(bytes(`\uFEFF \n{${REQUIRED}}\r\n`)))).toBe(false)
})

test('names and values with escapes are what they stand for', () => {
  expect(read(`${REQUIRED},"\\u0065xt":"a\\u00e9\\\\"`).attribute('ext')).toBe('aé\\')
  // The same name again, now from what was kept of the last event.
  expect(read(`${REQUIRED},"\\u0065xt":"b"`).attribute('ext')).toBe('b')
})

describe('a batch', () => {
  const one = `{${REQUIRED}}`
  test('keeps the data of each event apart', () => {
    const events = decodeBatch(bytes(`[ {${REQUIRED},"data":[1]} ,\n${one}, {${REQUIRED},"data":[2]} ]`)) as CloudEvent[]
    expect(events.map(dataOf)).toEqual(['[1]', null, '[2]'])
    expect((decodeBatch(encodeBatch(events)) as CloudEvent[]).map(dataOf)).toEqual(['[1]', null, '[2]'])
  })
  test.for(['', '{}', one, '[', `[${one}`, `[${one},]`, `[${one}${one}]`, `[${one}] x`, '[1]'])('is refused as %s', (text) => {
    expect(decodeBatch(bytes(text))).toMatchObject({ kind: 'bad', code: 'ingress.bad-event' })
  })
  test('names the event that is wrong', () => {
    expect(decodeBatch(bytes(`[${one},{"specversion":"1.0"}]`))).toMatchObject({
      attribute: 'id',
      message: /^event 1 of the batch/,
    })
  })
  test('has a limit where one is given', () => {
    expect(decodeBatch(bytes(`[${one},${one}]`), undefined, 2)).toHaveLength(2)
    expect(decodeBatch(bytes(`[${one},${one},${one}]`), undefined, 2)).toMatchObject({ code: 'ingress.too-large' })
  })
})

test('the official SDK reads what is written here, and the other way round', () => {
  const sdk = new SdkEvent({ id: '1', source: '/s', type: 't', time: '2018-04-05T17:31:00Z', ext: 'x', data: { a: [1.5] } })
  const message = HTTP.structured(sdk)
  const ours = decodeStructured(bytes(message.body as string)) as CloudEvent
  expect(ours).toMatchObject({ id: '1', source: '/s', type: 't', extensions: [['ext', 'x']] })
  expect(dataOf(ours)).toBe('{"a":[1.5]}')
  const back = HTTP.toEvent({ headers: { 'content-type': 'application/cloudevents+json' }, body: written(ours) })
  expect(back).toMatchObject({ id: '1', source: '/s', type: 't', ext: 'x', data: { a: [1.5] } })
})
