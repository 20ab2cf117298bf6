import { Fault } from '../runtime/errors.ts'
import type { Kv } from '../vendor/lmdb/kv.ts'
import type { Member } from './group-commit.ts'
import { FORMAT } from './keys.ts'

/** Of everything in an environment together; single records have versions of their own. */
const FORMAT_VERSION = '1'

/**
 * Refuses the data of another version with a Fault 'store.format', and writes which one this is with the first commit of a
 * new environment.
 */
export function formatMember(kv: Kv, dir: string): Member {
  const stored = kv.get(FORMAT)
  let written = stored !== undefined
  if (stored !== undefined && Buffer.from(stored).toString() !== FORMAT_VERSION) {
    throw new Fault('store.format', `${dir} has format ${Buffer.from(stored).toString()}, this version reads ${FORMAT_VERSION}`)
  }
  return {
    write(b) {
      if (!written) b.put(FORMAT, Buffer.from(FORMAT_VERSION))
    },
    flushed() {
      written = true
      return undefined
    },
    failed() {},
  }
}
