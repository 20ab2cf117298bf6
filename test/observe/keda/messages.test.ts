import { Buffer } from 'node:buffer'
import { describe, expect, test } from 'vitest'
import { readMetricsRequest, readRef, writeIsActive, writeMetrics, writeMetricSpec } from '../../../src/observe/keda/messages.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const field = (number: number, ...bytes: number[]): number[] => [number * 8 + 2, bytes.length, ...bytes]
const text = (t: string): number[] => [...Buffer.from(t)]

const REF = Buffer.from([
  ...field(1, ...text('worker')),
  ...field(2, ...text('shop')),
  ...field(3, ...field(1, ...text('target')), ...field(2, ...text('5'))),
  ...field(3, ...field(1, ...text('service')), ...field(2, ...text('shop/worker'))),
])

describe('messages of externalscaler.proto', () => {
  test('a ScaledObjectRef is read with its map', () => {
    const ref = readRef(REF)
    expect(ref?.name).toBe('worker')
    expect(ref?.namespace).toBe('shop')
    expect({ ...ref?.metadata }).toEqual({ target: '5', service: 'shop/worker' })
  })

  test('fields nobody knows are passed over', () => {
    expect(readRef(Buffer.from([0x78, 0x01, ...REF, ...field(9, 1, 2, 3)]))?.name).toBe('worker')
  })

  test('a key that is a property of every object is only a key', () => {
    const ref = readRef(Buffer.from(field(3, ...field(1, ...text('__proto__')), ...field(2, ...text('x')))))
    expect(Object.keys(ref?.metadata ?? {})).toEqual(['__proto__'])
  })

  test('a GetMetricsRequest has its ref inside', () => {
    const bytes = Buffer.from([...field(1, ...REF), ...field(2, ...text('service-shop-worker'))])
    expect(readMetricsRequest(bytes)).toMatchObject({ ref: { namespace: 'shop' }, metricName: 'service-shop-worker' })
  })

  test('bytes that end too early are no message', () => {
    for (let i = 1; i < REF.length; i++) {
      const cut = readRef(REF.subarray(0, i))
      expect(cut === undefined || Object.keys(cut.metadata).length < 2, `cut at ${i}`).toBe(true)
    }
    expect(readRef(Buffer.from([0x0a, 0x7f]))).toBeUndefined()
    expect(readMetricsRequest(Buffer.from(field(1, 0x0a, 0x7f)))).toBeUndefined()
  })

  test('answers have the bytes a protobuf library writes', () => {
    expect(hex(writeIsActive(true))).toBe('0801')
    expect(hex(writeIsActive(false))).toBe('')
    // metricName "m", metricValue 3, metricValueFloat 2.5
    expect(hex(writeMetrics({ metricName: 'm', value: 2.5 }))).toBe('0a0e0a016d1003190000000000000440')
    expect(hex(writeMetricSpec({ metricName: 'm', target: 0.25 }))).toBe('0a0e0a016d100119000000000000d03f')
  })
})
