import { afterEach, describe, expect, test } from 'vitest'
import { createEvaluator, type Evaluation, type Evaluator } from '../../../src/vendor/jsonata/evaluator.ts'
import { jsonataFault } from '../../../src/vendor/jsonata/library.ts'

const open: Evaluator[] = []
afterEach(() => {
  for (const e of open.splice(0)) e.close()
})
function evaluator(): Evaluator {
  const e = createEvaluator()
  open.push(e)
  return e
}
const run = (e: Evaluator, expression: string, input: unknown = {}): Promise<Evaluation> =>
  new Promise((resolve) => e.evaluate(expression, JSON.stringify(input), resolve))

describe('JSONata off the thread of events', () => {
  test('gives what the expression makes of its input, in order', async () => {
    const e = evaluator()
    const all = await Promise.all([
      run(e, '{"sum": $sum(data.items.price)}', { data: { items: [{ price: 1 }, { price: 2 }] } }),
      run(e, 'missing.field'),
      run(e, '$uppercase(name)', { name: 'ada' }),
    ])
    expect(all).toEqual([
      { kind: 'value', json: '{"sum":3}' },
      { kind: 'value', json: undefined },
      { kind: 'value', json: '"ADA"' },
    ])
  })

  test('an expression that fails says why, and the next one is none the worse', async () => {
    const e = evaluator()
    expect(await run(e, '"a" + 1')).toMatchObject({ kind: 'error', why: expect.stringContaining('number') as string })
    expect(await run(e, '$error("no order")')).toEqual({ kind: 'error', why: 'no order' })
    expect(await run(e, '1 + 1')).toEqual({ kind: 'value', json: '2' })
  })

  test.each([
    ['an endless recursion', '($f := function($n) { $f($n + 1) }; $f(0))'],
    ['a search that explodes', '$match($join([1..40].("a")), /(a+)+$x/) ; $contains($join([1..40].("a")) & "b", /^(a+)+$/)'],
    ['a text without end', '($d := function($s, $n) { $n = 0 ? $s : $d($s & $s, $n - 1) }; $length($d("0123456789", 40)))'],
  ])('%s is stopped, the events go on and so do other expressions', async (_what, expression) => {
    const e = evaluator()
    const startMs = performance.now()
    let turns = 0
    const turning = setInterval(() => turns++, 10)
    const looping = run(e, expression.split(' ; ').at(-1)!)
    const after = run(e, '1 + 1')
    expect(['exhausted', 'error']).toContain((await looping).kind)
    expect(performance.now() - startMs).toBeLessThan(10_000)
    expect(await after).toEqual({ kind: 'value', json: '2' })
    clearInterval(turning)
    // The loop of this thread was never held.
    expect(turns).toBeGreaterThan(0)
  })

  test('a list too long to be meant is refused', async () => {
    expect(await run(evaluator(), '$count([1..9000000])')).toMatchObject({ kind: 'error' })
  })

  test('closing answers who waits', async () => {
    const e = evaluator()
    const both = [run(e, '($f := function() { $f() }; $f())'), run(e, '1')]
    e.close()
    expect((await Promise.all(both)).map((x) => x.kind)).toEqual(['exhausted', 'exhausted'])
  })

  test('has nothing of this process in its environment', async () => {
    expect(await run(evaluator(), '$eval("process.env")')).toEqual({ kind: 'value', json: undefined })
  })
})

test('an expression that does not parse is told with its place', () => {
  expect(jsonataFault('{"a": b}')).toBeNull()
  expect(jsonataFault('{"a": }')).toMatchObject({ at: 6 })
  expect(jsonataFault('')).not.toBeNull()
})
