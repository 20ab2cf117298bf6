import { describe, expect, test } from 'vitest'
import { HPA_BEHAVIOR, HPA_START, hpaScale, type HpaSettings, type HpaState } from '../../src/autoscaler/hpa.ts'

const settings = (more: Partial<HpaSettings> = {}): HpaSettings => ({
  target: 'pods',
  targetValue: 7,
  minScale: 1,
  maxScale: 0,
  tolerance: 0.1,
  behavior: HPA_BEHAVIOR,
  ...more,
})
const once = (spec: HpaSettings, value: number | null, replicas: number, readyPods = replicas): number =>
  hpaScale(spec, HPA_START, { value, readyPods, replicas }, 0).desired

describe('one metric', () => {
  test.each<[string, Partial<HpaSettings>, number, number, number]>([
    ['the ratio times the pods', {}, 10, 4, 6],
    ['within the tolerance nothing changes', {}, 7.6, 4, 4],
    ['just over it something does', {}, 7.8, 4, 5],
    ['a sum is shared by the pods', { target: 'average-value' }, 40, 4, 6],
    ['one value is a ratio of the pods', { target: 'value' }, 14, 3, 6],
    ['at most twice the pods or four more in 15 s', {}, 700, 10, 20],
    ['four more where that is more', {}, 700, 2, 6],
    ['without behavior at most twice, or four', { behavior: null }, 700, 1, 4],
    ['never above the greatest scale', { maxScale: 5 }, 70, 4, 5],
    ['never below the least', { minScale: 3 }, 0, 3, 3],
  ])('%s', (_what, more, value, replicas, desired) => {
    expect(once(settings(more), value, replicas)).toBe(desired)
  })

  test('pods that are not ready count as nothing when it would grow', () => {
    expect(once(settings(), 10, 8, 4)).toBe(8)
  })
  test('zero replicas switch it off', () => {
    expect(hpaScale(settings(), HPA_START, { value: 100, readyPods: 0, replicas: 0 }, 0)).toMatchObject({
      valid: false,
      desired: 0,
    })
  })
  test.each([null, Number.NaN, -1, Infinity])('%s is no reading', (value) => {
    expect(hpaScale(settings(), HPA_START, { value, readyPods: 3, replicas: 3 }, 0)).toMatchObject({ valid: false, desired: 3 })
  })
})

describe('over time', () => {
  test('down only to the highest of the last 300 s', () => {
    let state: HpaState = HPA_START
    const at = (s: number, value: number, replicas: number): number => {
      const result = hpaScale(settings(), state, { value, readyPods: replicas, replicas }, s * 1000)
      state = result.next
      return result.desired
    }
    expect(at(0, 7, 8)).toBe(8)
    expect(at(15, 1, 8)).toBe(8)
    expect(at(285, 1, 8)).toBe(8)
    expect(at(300, 1, 8)).toBe(2)
  })
  test('growth counts what was added in the period', () => {
    let state: HpaState = HPA_START
    const grow = (s: number, replicas: number): number => {
      const result = hpaScale(settings(), state, { value: 700, readyPods: replicas, replicas }, s * 1000)
      state = result.next
      return result.desired
    }
    expect(grow(0, 10)).toBe(20)
    expect(grow(5, 20)).toBe(20)
    expect(grow(15, 20)).toBe(40)
  })
  test('a policy that is disabled changes nothing', () => {
    const behavior = { ...HPA_BEHAVIOR, scaleUp: { ...HPA_BEHAVIOR.scaleUp, selectPolicy: 'Disabled' as const } }
    expect(once(settings({ behavior }), 70, 3)).toBe(3)
  })
})
