import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Fifo } from '../../src/flow/fifo.ts'
import { OrderedBits } from '../../src/flow/ordered-bits.ts'

test('a fifo does what an array does', () => {
  const step = fc.oneof(
    fc.record({ what: fc.constant('push' as const), value: fc.integer() }),
    fc.record({ what: fc.constant('unshift' as const), value: fc.integer() }),
    fc.constant({ what: 'shift' as const, value: 0 }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const fifo = new Fifo<number>()
      const plain: number[] = []
      for (const { what, value } of steps) {
        let out: readonly (number | undefined)[] = []
        if (what === 'shift') out = [fifo.shift(), plain.shift()]
        else {
          fifo[what](value)
          plain[what](value)
        }
        expect(out[0]).toBe(out[1])
        expect([fifo.size, fifo.peek()]).toEqual([plain.length, plain[0]])
      }
    }),
  )
})

test('ordered bits know their first and last', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ on: fc.boolean(), i: fc.nat(5_000) }), { maxLength: 200 }), (steps) => {
      const bits = new OrderedBits()
      const plain = new Set<number>()
      for (const { on, i } of steps) {
        if (on) {
          bits.set(i)
          plain.add(i)
        } else {
          bits.clear(i)
          plain.delete(i)
        }
        expect(bits.first()).toBe(plain.size === 0 ? -1 : Math.min(...plain))
        expect(bits.last()).toBe(plain.size === 0 ? -1 : Math.max(...plain))
      }
    }),
  )
})
