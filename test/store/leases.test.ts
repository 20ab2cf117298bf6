import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Lease } from '../../src/contract/leases.ts'
import { SILENT_LOG } from '../../src/runtime/log.ts'
import { openLeases } from '../../src/store/leases.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-leases-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const clock = new VirtualClock()
const lease = (token: string, more: Partial<Lease> = {}): Lease => ({
  token,
  sub: 'trigger/default/t',
  pod: 'pod',
  leaseMs: 1_000,
  untilMs: clock.wall() + 1_000,
  members: [{ position: 7, source: '/s', id: token, attempt: 2 }],
  ...more,
})
const opened = (): ReturnType<typeof openLeases> => openLeases(join(folder, 'leases.log'), clock, SILENT_LOG)

test('leases are found again, ended ones are not, and the answered are known from those that ran out', () => {
  const one = opened()
  for (const token of ['a', 'b', 'c', 'd']) one.save(lease(token))
  one.save(lease('a', { leaseMs: 5_000, untilMs: clock.wall() + 5_000 }))
  one.end('b', true)
  one.end('c', false)
  // No close: a process that is killed does not close anything either.
  const two = opened()
  expect(two.of('trigger/default/t')).toEqual([lease('a', { leaseMs: 5_000, untilMs: clock.wall() + 5_000 }), lease('d')])
  expect(two.of('trigger/default/other')).toEqual([])
  expect([two.answered('b'), two.answered('c'), two.has('a'), two.has('b')]).toEqual([true, false, true, false])
  expect(statSync(join(folder, 'leases.log')).mode & 0o777).toBe(0o600)
})

test('one that has run out is not there, whether or not somebody said so', () => {
  opened().save(lease('a', { untilMs: clock.wall() }))
  const two = opened()
  expect(two.of('trigger/default/t')).toEqual([])
  expect(two.has('a')).toBe(false)
})

test('a torn last line and bytes that are none of ours are passed over', () => {
  opened().save(lease('a'))
  appendFileSync(join(folder, 'leases.log'), 'nonsense\n{"lease":{"tok')
  expect(opened().of('trigger/default/t')).toEqual([lease('a')])
})

test('the file does not grow with what is past', () => {
  const one = opened()
  for (let i = 0; i < 30_000; i++) {
    one.save(lease(`t${i}`))
    one.end(`t${i}`, true)
  }
  one.save(lease('last'))
  expect(readFileSync(join(folder, 'leases.log')).length).toBeLessThan(6 << 20)
  const two = opened()
  expect(two.of('trigger/default/t')).toEqual([lease('last')])
  expect([two.answered('t29999'), two.answered('t0')]).toEqual([true, false])
  expect(readFileSync(join(folder, 'leases.log')).length).toBeLessThan(1 << 20)
})
