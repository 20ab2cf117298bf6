#!/usr/bin/env node
// Finds a Node that is new enough and runs the command line: src/ in a checkout, dist/ when installed.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const inCheckout = existsSync(join(root, 'src', 'cli', 'main.ts'))
const main = inCheckout ? join(root, 'src', 'cli', 'main.ts') : join(root, 'dist', 'cli', 'main.js')

/** The clients this gateway is built on need 22.22; older ones cannot strip types either. */
function fits(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 22 || (major === 22 && minor >= 22)
}

if (fits(process.versions.node)) {
  if (process.channel) {
    // Started by an older Node below: when that one is gone, however, this one goes too.
    process.on('disconnect', () => process.exit(1))
    process.channel.unref()
  }
  // Code compiled by an earlier start is used again: less time until it is ready.
  module.enableCompileCache?.()
  const { run } = await import(pathToFileURL(main).href)
  await run(process.argv.slice(2))
} else {
  const bundled = join(root, 'node_modules', 'node', 'bin', 'node')
  if (!existsSync(bundled)) {
    process.stderr.write(
      `sluice needs Node 22.22 or newer; this is ${process.versions.node}. In a checkout "npm ci" brings one.\n`,
    )
    process.exit(2)
  }
  const child = spawn(bundled, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)))
}
