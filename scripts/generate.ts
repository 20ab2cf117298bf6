import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { PAGES } from './pages.ts'

// Writes the files that are made from tables in the code; with --check only says which are not up to date.

const root = dirname(import.meta.dirname)
const check = process.argv.includes('--check')
const stale: string[] = []
for (const [file, make] of Object.entries(PAGES)) {
  const path = join(root, file)
  const text = make()
  if (existsSync(path) && readFileSync(path, 'utf8') === text) continue
  if (check) stale.push(file)
  else {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    console.log(`wrote ${file}`)
  }
}
if (stale.length > 0) {
  console.error(`not up to date: ${stale.join(', ')}; run "npm run generate"`)
  process.exit(1)
}
