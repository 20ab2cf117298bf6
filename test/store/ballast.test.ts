import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { Ballast } from '../../src/store/ballast.ts'

const root = mkdtempSync(join(tmpdir(), 'sluice-ballast-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

test('what is set aside for a full disk is there once, goes, and comes back', () => {
  const ballast = new Ballast(root)
  ballast.drop()
  ballast.take()
  const { size, ino } = statSync(join(root, 'ballast'))
  expect(size).toBeGreaterThan(0)
  expect(size).toBeLessThanOrEqual(4 * 2 ** 20)
  ballast.take()
  expect(statSync(join(root, 'ballast')).ino).toBe(ino)
  ballast.drop()
  expect(readdirSync(root)).toEqual([])
  ballast.take()
  expect(readdirSync(root)).toEqual(['ballast'])
  new Ballast(join(root, 'nowhere')).drop()
})
