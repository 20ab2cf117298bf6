import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { errorOfCall, errorOfStatus, RocketMqError } from '../../../src/vendor/rocketmq/errors.ts'
import { targetOf } from '../../../src/vendor/rocketmq/addresses.ts'
import { receivedMessage } from '../../../src/vendor/rocketmq/messages.ts'
import { createResource, definition } from '../../../src/vendor/rocketmq/protocol.ts'

function sent(body: Uint8Array, change: (s: InstanceType<typeof definition.SystemProperties>) => void) {
  const system = new definition.SystemProperties().setMessageId('m1').setReceiptHandle('h1')
  change(system)
  const m = new definition.Message().setTopic(createResource('orders')).setSystemProperties(system).setBody(body)
  m.getUserPropertiesMap().set('colour', 'grün')
  return receivedMessage(m)
}

test('a message keeps what was sent with it; its group is the property older clients know', () => {
  const m = sent(Buffer.from('hello'), (s) => {
    s.setTag('paid').setKeysList(['a', 'b']).setMessageGroup('g1').setDeliveryAttempt(3)
  })
  expect({ ...m, body: Buffer.from(m.body ?? []).toString() }).toEqual({
    messageId: 'm1',
    topic: 'orders',
    tag: 'paid',
    keys: 'a b',
    properties: { colour: 'grün', __SHARDINGKEY: 'g1' },
    body: 'hello',
    attempt: 3,
    handle: 'h1',
    bornMs: 0,
    unreadable: '',
  })
})

test('an empty body is none, and what is not told is the first attempt', () => {
  expect(sent(new Uint8Array(0), () => {})).toMatchObject({ body: null, attempt: 1, tag: '', keys: '' })
})

test('a zipped body is unzipped; one that only says so stays as it came and tells why', () => {
  const zip = (s: InstanceType<typeof definition.SystemProperties>): void => void s.setBodyEncoding(definition.Encoding.GZIP)
  const good = sent(gzipSync('hello'), zip)
  expect([Buffer.from(good.body ?? []).toString(), good.unreadable]).toEqual(['hello', ''])
  const bad = sent(Buffer.from('hello'), zip)
  expect(Buffer.from(bad.body ?? []).toString()).toBe('hello')
  expect(bad.unreadable).toContain('gzip')
})

describe('what went wrong has a reason', () => {
  test.each([
    [40_402, 'No topic route info', 'TopicMissing'],
    [40_403, 'nobody', 'GroupMissing'],
    [50_001, 'subscription group [g] does not exist', 'GroupMissing'],
    [50_001, "ProxyException: parse the consumer's subscription failed", 'FilterInvalid'],
    [40_100, 'check signature failed', 'Unauthorized'],
    [40_013, 'too old', 'HandleInvalid'],
    [50_001, 'who knows', 'RocketMQFailed'],
  ])('%i %s', (code, message, reason) => {
    expect(errorOfStatus({ code, message })).toMatchObject({ reason, message: `${message} (code ${code})` })
  })

  test.each([20_000, 30_000, 40_401])('%i is none', (code) => {
    expect(errorOfStatus({ code, message: '' })).toBeNull()
  })

  test('a call that fails says where; what has a reason keeps it', () => {
    const grpc = (code: number, message: string): Error => Object.assign(new Error(message), { code })
    expect(errorOfCall(grpc(14, 'UNAVAILABLE'), 'a:1')).toMatchObject({
      reason: 'RocketMQUnreachable',
      message: 'a:1: UNAVAILABLE',
    })
    expect(errorOfCall(grpc(3, 'process failed. group not found: g'), 'a:1').reason).toBe('GroupMissing')
    expect(errorOfCall(grpc(16, 'UNAUTHENTICATED'), 'a:1').reason).toBe('Unauthorized')
    const known = new RocketMqError('Throttled', 'slower')
    expect(errorOfCall(known, 'a:1')).toBe(known)
  })
})

test('several addresses are one target where all are IPv4', () => {
  const at = (host: string): { host: string; port: number } => ({ host, port: 8081 })
  expect(targetOf([at('10.0.0.1'), at('10.0.0.2')])).toBe('ipv4:10.0.0.1:8081,10.0.0.2:8081')
  expect(targetOf([at('a.example'), at('b.example')])).toBe('a.example:8081')
  expect(targetOf([at('::1')])).toBe('[::1]:8081')
})
