import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Fault } from '../../../src/runtime/errors.ts'
import { openLmdb } from '../../../src/vendor/lmdb/open.ts'

test('a store that cannot be opened says which and why', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-lmdb-'))
  const file = join(folder, 'a-file')
  writeFileSync(file, 'not a store')
  try {
    openLmdb(join(file, 'below'))
    expect.unreachable()
  } catch (e) {
    expect(e).toBeInstanceOf(Fault)
    expect(e).toMatchObject({ code: 'store.folder', retryable: false })
    expect((e as Fault).message).toContain(join(file, 'below'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
