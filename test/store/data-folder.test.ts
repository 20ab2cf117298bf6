import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { lockDataFolder } from '../../src/store/data-folder.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'

const root = mkdtempSync(join(tmpdir(), 'sluice-folder-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const folder = (): string => join(mkdtempSync(join(root, 'f-')), 'data')

/** Above the highest pid Linux gives. */
const NOBODY = 2 ** 22 + 7

async function leave(dir: string, holder: object | string): Promise<void> {
  await (await lockDataFolder(dir)).release()
  writeFileSync(join(dir, 'lock'), typeof holder === 'string' ? holder : JSON.stringify(holder))
}

describe('a data folder', () => {
  test('serves one gateway at a time; the second one is told whose it is', async () => {
    const dir = folder()
    const lock = await lockDataFolder(dir)
    expect(statSync(dir).mode & 0o077).toBe(0)
    const refused = lockDataFolder(dir)
    await expect(refused).rejects.toMatchObject({ code: 'store.locked' })
    await expect(refused).rejects.toThrow(`process id ${process.pid}`)
    await lock.release()
    const next = await lockDataFolder(dir)
    expect(readdirSync(dir).toSorted()).toEqual(['format', 'lock'])
    await next.release()
    expect(readdirSync(dir)).toEqual(['format'])
  })

  test('is given to one of many that come at once', async () => {
    const dir = folder()
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => lockDataFolder(dir)))
    expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(1)
    expect(readdirSync(dir).toSorted()).toEqual(['format', 'lock'])
  })

  test.each([
    ['a process that is gone', { pid: NOBODY, started: 'boot/1', host: hostname(), id: 'x' }],
    [
      'an earlier process with a pid that is used again',
      { pid: process.pid, started: 'another-boot/1', host: hostname(), id: 'x' },
    ],
    ['nobody: half a file', '{"pid":'],
    ['nobody: an empty file', ''],
  ])('is taken over from %s', async (_who, holder) => {
    const dir = folder()
    await leave(dir, holder)
    const lock = await lockDataFolder(dir)
    expect(JSON.parse(readFileSync(join(dir, 'lock'), 'utf8'))).toMatchObject({ pid: process.pid })
    await expect(lockDataFolder(dir)).rejects.toMatchObject({ code: 'store.locked' })
    await lock.release()
  })

  test('of another machine is taken over once its lock was not renewed for a minute', async () => {
    const dir = folder()
    await leave(dir, { pid: NOBODY, started: '', host: 'elsewhere', id: 'x' })
    await expect(lockDataFolder(dir)).rejects.toThrow(`process id ${NOBODY} on elsewhere`)
    const old = Date.now() / 1000 - 61
    utimesSync(join(dir, 'lock'), old, old)
    await (await lockDataFolder(dir)).release()
  })

  test('has its lock renewed while it is held, and not after', async () => {
    const dir = folder()
    const clock = new VirtualClock(Date.parse('2031-01-01T00:00:00Z'))
    const lock = await lockDataFolder(dir, clock)
    clock.advance(10_000)
    await expect.poll(() => statSync(join(dir, 'lock')).mtimeMs).toBe(clock.wall())
    await lock.release()
    expect(clock.nextMs).toBe(Infinity)
  })

  test('that another has taken meanwhile is not released by the first', async () => {
    const dir = folder()
    const lock = await lockDataFolder(dir)
    writeFileSync(join(dir, 'lock'), JSON.stringify({ pid: 1, started: '', host: hostname(), id: 'other' }))
    await lock.release()
    expect(readdirSync(dir)).toContain('lock')
  })

  test('of another format is refused, and stays free', async () => {
    const dir = folder()
    await (await lockDataFolder(dir)).release()
    writeFileSync(join(dir, 'format'), '7\n')
    const refused = lockDataFolder(dir)
    await expect(refused).rejects.toMatchObject({ code: 'store.format' })
    await expect(refused).rejects.toThrow('format 7')
    expect(readdirSync(dir)).toEqual(['format'])
  })
})
