import { describe, expect, test } from 'vitest'
import { CloudEvent } from '../../src/event/event.ts'
import { fromRocketMqMessage, toRocketMqMessage, wrapRocketMqMessage } from '../../src/event/rocketmq.ts'
import { bytes, textShape } from './events.ts'

const REQUIRED = { CE_specversion: '1.0', CE_id: '1', CE_source: '/s', CE_type: 't' }
const message = (properties: Record<string, string>, body: string | null = null) => ({
  topic: 'orders',
  tag: 'TagA',
  keys: 'k1',
  properties,
  body: body === null ? null : bytes(body),
})

describe('a RocketMQ message', () => {
  test('may spell the content type in every way that was seen; CE_datacontenttype wins', () => {
    for (const name of ['CE_datacontenttype', 'CE_contenttype', 'CE_contentType'])
      expect(fromRocketMqMessage(message({ ...REQUIRED, [name]: 'a/b' }))).toMatchObject({
        datacontenttype: 'a/b',
        extensions: [],
      })
    const both = fromRocketMqMessage(message({ CE_contenttype: 'a/b', CE_datacontenttype: 'c/d', ...REQUIRED }))
    expect(both?.datacontenttype).toBe('c/d')
  })
  test.for([
    [{}],
    [{ ...REQUIRED, CE_id: '' }],
    [{ ...REQUIRED, CE_Name: 'x' }],
    [{ ...REQUIRED, CE_time: 'x' }],
    [{ CE_datacontenttype: 'application/cloudevents+json' }],
  ])('%j is no event', ([properties]) => {
    expect(fromRocketMqMessage(message(properties as Record<string, string>, '{}'))).toBeNull()
  })
  test('gives its sharding key as the key of the event', () => {
    expect(fromRocketMqMessage(message({ ...REQUIRED, __SHARDINGKEY: 'user-1' }), 9)?.envelope).toMatchObject({
      key: 'user-1',
      receivedMs: 9,
    })
  })
  test('that is no event is wrapped with tag, keys and its own properties, not the system’s', () => {
    const properties = { 'My-Prop': 'v', UNIQ_KEY: 'x', TAGS: 'TagA' }
    const o = { messageId: 'id', instance: '/rocketmq/one', type: 'x.y', bornMs: 1000 }
    expect(textShape(wrapRocketMqMessage(message(properties, 'raw'), o))).toMatchObject({
      id: 'id',
      source: '/rocketmq/one/orders',
      type: 'x.y',
      time: '1970-01-01T00:00:01.000Z',
      data: 'raw',
      extensions: { rocketmqtag: 'TagA', rocketmqkeys: 'k1', rocketmqpropertymyprop: 'v' },
    })
  })
})

describe('the message of an event', () => {
  const e = new CloudEvent({ id: '1', source: '/s', type: 't', data: bytes('x') })
  test('goes where it is told', () => {
    expect(toRocketMqMessage(e, { topic: 'a', tag: 'b', keys: 'c' })).toMatchObject({ topic: 'a', tag: 'b', keys: 'c' })
  })
  test.for(['', 'a\nb'])('is structured where a property could not hold %j', (value) => {
    const odd = e.with({ extensions: [['ext', value]] })
    const written = toRocketMqMessage(odd, { topic: 'a' })
    expect(Object.keys(written.properties)).toEqual(['CE_datacontenttype'])
    expect(fromRocketMqMessage(written)?.attribute('ext')).toBe(value)
  })
})
