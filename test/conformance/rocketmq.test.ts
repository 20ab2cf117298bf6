import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { CloudEvent } from '../../src/event/event.ts'
import type { RocketMqMessage } from '../../src/event/rocketmq.ts'
import { fromRocketMqMessage, toRocketMqMessage, wrapRocketMqMessage } from '../../src/event/rocketmq.ts'
import { bytes } from '../event/events.ts'

interface Row {
  readonly name: string
  readonly topic?: string
  readonly properties: Readonly<Record<string, string>>
  readonly body: string | null
  readonly event: Readonly<Record<string, unknown>> | string
}

const file = new URL('suites/rocketmq/cloudevents-binding.json', import.meta.url)
const rows = (JSON.parse(readFileSync(file, 'utf8')) as { cases: Row[] }).cases

/** Attributes by name and the data as text, null = no event. */
function seen(event: CloudEvent | null): unknown {
  if (event === null) return null
  const { specversion, id, source, type, subject, time, datacontenttype, dataschema, data } = event
  const attributes = { specversion, id, source, type, subject, time, datacontenttype, dataschema }
  return {
    ...attributes,
    ...Object.fromEntries(event.extensions),
    data: data === null ? undefined : Buffer.from(data).toString(),
  }
}

function messageOf(row: Row): RocketMqMessage {
  const body = row.body === null ? null : bytes(row.body)
  return { topic: row.topic ?? 'topic', tag: '', keys: '', properties: row.properties, body }
}

describe('RocketMQ messages', () => {
  let passed = 0
  test.for(rows.filter((row) => typeof row.event !== 'string'))('$name', (row) => {
    const { data, ...attributes } = row.event as Readonly<Record<string, unknown>>
    const wanted = { ...attributes, data: typeof data === 'object' ? JSON.stringify(data) : data }
    const event = fromRocketMqMessage(messageOf(row)) as CloudEvent
    expect(seen(event)).toEqual(wanted)
    const written = toRocketMqMessage(event, { topic: 'topic' })
    expect(Object.keys(written.properties)).not.toContain('CE_contenttype')
    expect(seen(fromRocketMqMessage(written))).toEqual(wanted)
    const structured = toRocketMqMessage(event, { topic: 'topic', structured: true })
    expect(Object.keys(structured.properties)).toEqual(['CE_datacontenttype'])
    expect(seen(fromRocketMqMessage(structured))).toEqual(wanted)
    passed++
  })
  test.for(rows.filter((row) => typeof row.event === 'string'))('$name', (row) => {
    expect(fromRocketMqMessage(messageOf(row))).toBeNull()
    const o = { messageId: 'msg-1', instance: 'instance', type: 'some.type', bornMs: 0 }
    expect(seen(wrapRocketMqMessage(messageOf(row), o))).toEqual({
      specversion: '1.0',
      id: 'msg-1',
      source: 'instance/topic-knative',
      type: 'some.type',
      rocketmqtag: 'TagA',
      rocketmqkeys: 'k1',
      data: 'hello',
    })
    passed++
  })
  test('every row was seen', () => {
    console.log(`rocketmq binding ${passed}/${rows.length}`)
    expect([passed, rows.length]).toEqual([8, 8])
  })
})
