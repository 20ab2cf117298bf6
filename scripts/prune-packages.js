// Keeps the one uWebSockets.js binary that this machine loads: the package ships one for every platform and Node.
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

const root = process.argv[2] ?? 'node_modules'
const wanted = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`

function binariesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return binariesBelow(path)
    return /^uws_.*\.node$/.test(entry.name) ? [path] : []
  })
}

let kept = 0
let freed = 0
for (const path of binariesBelow(join(root, 'uws'))) {
  if (path.endsWith(wanted)) {
    kept++
    continue
  }
  freed += statSync(path).size
  rmSync(path)
}
if (kept === 0) throw new Error(`no binary ${wanted} below ${root}/uws: this platform would fall back to node:http`)
console.log(`kept ${wanted}, freed ${Math.round(freed / 1e6)} MB`)
