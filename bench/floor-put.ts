import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from 'lmdb'

// The floor of storing: puts of 400 bytes, flushed group by group, without anything around them.
// Arguments: puts in all, puts in a group. Prints CPU µs a put and the time of one flush.

const [countText = '100000', groupText = '32'] = process.argv.slice(2)
const count = Number(countText)
const group = Number(groupText)
const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-put-'))
const db = open({ path: folder, keyEncoding: 'uint32', encoding: 'binary', noMemInit: true })
const value = Buffer.alloc(400, 1)
const cpu = process.cpuUsage()
const startMs = performance.now()
for (let n = 0; n < count; n += group) {
  for (let i = 0; i < group; i++) void db.put(n + i, value)
  await db.flushed
}
const used = process.cpuUsage(cpu)
const groups = Math.ceil(count / group)
process.send?.({
  name: 'result',
  value: { cpuUs: (used.user + used.system) / count, flushMs: (performance.now() - startMs) / groups },
})
await db.close()
rmSync(folder, { recursive: true, force: true })
process.on('disconnect', () => process.exit(0))
