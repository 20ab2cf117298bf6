import { execFile } from 'node:child_process'
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '..', '..')

/** The gateway as it is installed: compiled, without the sources beside it. */
export interface BuiltGateway {
  /** Has `bin/sluice.js`. */
  readonly folder: string
  remove(): Promise<void>
}

/**
 * Compiles the gateway into a folder of its own. It starts with less than half of what a checkout spends, which strips the
 * types of every file again at each start. Nothing is checked: `npm run check` does that.
 */
export async function buildGateway(): Promise<BuiltGateway> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-built-'))
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const config = join(root, 'tsconfig.build.json')
  const flags = ['--noCheck', '--declaration', 'false', '--outDir', join(folder, 'dist')]
  await Promise.all([
    promisify(execFile)(process.execPath, [compiler, '-p', config, ...flags]),
    cp(join(root, 'bin'), join(folder, 'bin'), { recursive: true }),
    cp(join(root, 'package.json'), join(folder, 'package.json')),
    symlink(join(root, 'node_modules'), join(folder, 'node_modules')),
  ])
  return { folder, remove: () => rm(folder, { recursive: true, force: true, maxRetries: 5 }) }
}
