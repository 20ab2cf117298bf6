import { describe, expect, test } from 'vitest'
import { answerFrom, querySignals, type QueryAnswer } from '../../../src/autoscaler/signals/prometheus.ts'
import { steppedClock } from './stepped.ts'

const vector = (...values: (readonly [number, string])[]): unknown => ({
  status: 'success',
  data: { resultType: 'vector', result: values.map((value) => ({ metric: {}, value })) },
})

describe('an answer of Prometheus', () => {
  test('one series or a scalar is a number and its time', () => {
    expect(answerFrom(vector([12.5, '7']))).toEqual({ atS: 12.5, value: 7 })
    expect(answerFrom({ status: 'success', data: { resultType: 'scalar', result: [3, '0.5'] } })).toEqual({ atS: 3, value: 0.5 })
  })

  test.each([
    [vector(), /gives nothing/],
    [vector([1, '1'], [1, '2']), /gives 2 series; .* sum/],
    [vector([1, 'NaN']), /gives NaN, which is no load/],
    [vector([1, '+Inf']), /gives \+Inf/],
    [vector([1, '-3']), /gives -3/],
    [{ status: 'error', error: 'parse error' }, /the query failed: parse error/],
    [{ status: 'success', data: { resultType: 'matrix', result: [] } }, /gives a matrix/],
    [null, /the query failed/],
    ['<html>', /the query failed/],
  ])('%j is none', (body, why) => {
    expect(answerFrom(body)).toMatch(why)
  })
})

test('silence, duplicates and errors keep the last number and are told; a new number ends that', async () => {
  const clock = steppedClock()
  let answer: QueryAnswer | Error = { atS: 1, value: 12 }
  const asked: string[] = []
  const ask = (query: string): Promise<QueryAnswer> => {
    asked.push(query)
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
  }
  const signals = querySignals(new Map([['service/shop/worker', 'sum(x)']]), ask, 10_000, clock)
  const poll = async (next: QueryAnswer | Error): Promise<ReturnType<typeof signals.heard>> => {
    answer = next
    signals.poll()
    await new Promise((done) => setImmediate(done))
    return signals.heard('service/shop/worker')
  }
  expect(signals.heard('service/shop/worker')).toMatchObject({ load: null, samples: 0 })
  expect(await poll({ atS: 1, value: 12 })).toMatchObject({ load: { inFlight: 12 }, samples: 1, missing: '' })
  expect(await poll({ atS: 1, value: 99 })).toMatchObject({ load: { inFlight: 12 }, samples: 1 })
  expect(await poll({ atS: 0, value: 99 })).toMatchObject({ load: { inFlight: 12 }, samples: 1 })
  expect((await poll('the query gives nothing')).missing).toMatch(/gives nothing/)
  clock.step(11_000)
  expect(await poll(new Error('ECONNREFUSED'))).toMatchObject({
    load: { inFlight: 12 },
    missing: 'Prometheus has given no number for 11 s (ECONNREFUSED)',
  })
  expect(await poll({ atS: 2, value: 3 })).toMatchObject({ load: { inFlight: 3 }, samples: 2, missing: '' })
  expect(new Set(asked)).toEqual(new Set(['sum(x)']))
  expect(signals.heard('service/shop/other')).toMatchObject({ load: null, missing: 'it has no query' })
})
