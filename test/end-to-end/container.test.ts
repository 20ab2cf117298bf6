import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { broker, post, temporaryFolder, trigger } from '../gateway.ts'
import { startSink } from '../sink.ts'
import { until } from '../until.ts'

const execute = promisify(execFile)
const root = join(import.meta.dirname, '..', '..')

interface Step {
  readonly instruction: string
  readonly text: string
}
interface Stage {
  readonly name: string
  readonly image: string
  readonly steps: readonly Step[]
}

/** The stages of a Dockerfile, last one the image. Instructions as this file uses them: no here-documents, no ARG. */
function stagesOf(text: string): Stage[] {
  const lines = text
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const stages: { name: string; image: string; steps: Step[] }[] = []
  for (const line of lines) {
    const [, instruction = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    if (instruction === 'FROM') {
      const [, image = '', name = 'image'] = /^(\S+)(?: AS (\S+))?$/.exec(rest) ?? []
      stages.push({ name, image, steps: [] })
    } else stages.at(-1)?.steps.push({ instruction, text: rest })
  }
  return stages
}

const stages = stagesOf(readFileSync(join(root, 'Dockerfile'), 'utf8'))
const image = stages.at(-1)
if (image === undefined) throw new Error('the Dockerfile has no stage')
const of = (instruction: string): string[] => image.steps.filter((s) => s.instruction === instruction).map((s) => s.text)
const listOf = (text: string): string[] => JSON.parse(text) as string[]

/** A folder a stage: its file system from the root on. */
const roots = new Map<string, string>()
const rootOf = (stage: string): string => {
  const folder = roots.get(stage)
  if (folder === undefined) throw new Error(`there is no stage ${stage}`)
  return folder
}

async function replay(stage: Stage): Promise<void> {
  const folder = temporaryFolder()
  chmodSync(folder, 0o755)
  roots.set(stage.name, folder)
  let cwd = folder
  for (const { instruction, text } of stage.steps) {
    if (instruction === 'WORKDIR') {
      cwd = join(folder, text)
      mkdirSync(cwd, { recursive: true })
    } else if (instruction === 'COPY') await copy(folder, cwd, text)
    else if (instruction === 'RUN') await runStep(folder, cwd, text)
  }
}

async function copy(folder: string, cwd: string, text: string): Promise<void> {
  const words = text.split(/\s+/)
  const from = words[0]?.startsWith('--from=') === true ? (words.shift() ?? '').slice('--from='.length) : ''
  const to = words.pop() ?? ''
  for (const source of words) {
    const path = from === '' ? join(root, source) : join(rootOf(from), source)
    const target = to.startsWith('/') ? join(folder, to) : join(cwd, to)
    const whole = to.endsWith('/') ? join(target, source) : target
    if (from === '') cpSync(path, whole, { recursive: true })
    // Stages are thrown away: what is taken from them need not exist twice.
    else await link(path, whole)
  }
}

/** A tree of hard links, or copies where that cannot be. */
async function link(from: string, to: string): Promise<void> {
  await execute('cp', ['-al', from, to]).catch(() => execute('cp', ['-a', from, to]))
}

const PATH = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`

async function runStep(folder: string, cwd: string, text: string): Promise<void> {
  const run = async (command: string): Promise<void> => {
    try {
      await execute('/bin/sh', ['-c', command], { cwd, env: { ...process.env, PATH }, maxBuffer: 1 << 24 })
    } catch (e) {
      const { stdout, stderr } = e as { stdout?: string; stderr?: string }
      throw new Error(`RUN ${command} failed:\n${stdout}\n${stderr}`, { cause: e })
    }
  }
  if (!text.startsWith('npm ci')) return run(text.replaceAll(/(^|\s)\//g, `$1${folder}/`))
  if (text.includes('--omit=dev')) {
    try {
      return await run(`${text} --prefer-offline --no-audit --no-fund`)
    } catch {
      // No network: the packages of this checkout are those of the same lock file.
    }
  }
  rmSync(join(cwd, 'node_modules'), { recursive: true, force: true })
  await link(join(root, 'node_modules'), join(cwd, 'node_modules'))
  if (text.includes('--omit=dev')) await run('npm prune --omit=dev --ignore-scripts --offline --no-audit --no-fund')
}

function filesBelow(folder: string, name: RegExp): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((f) => name.test(f))
}

const running: ChildProcess[] = []
beforeAll(async () => {
  for (const stage of stages) await replay(stage)
}, 180_000)
afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
})

describe('the image, replayed step by step', () => {
  test('glibc in every stage, one Node line, not root, a health check that is a command', () => {
    expect(stages.map((s) => s.image)).toEqual(stages.map(() => expect.stringMatching(/^node:22[^ ]*bookworm-slim$/)))
    const users = of('USER')
    expect(users).toHaveLength(1)
    const [uid = 0, gid = 0] = (users[0] ?? '').split(':').map(Number)
    expect(uid).toBeGreaterThan(0)
    expect(gid).toBeGreaterThan(0)
    const health = of('HEALTHCHECK')
    expect(health).toHaveLength(1)
    expect(health[0]).toMatch(/CMD \["node", "bin\/sluice\.js", "health"/)
    expect(of('EXPOSE')).toEqual(['8080 9090'])
    expect(of('CMD').flatMap(listOf)).toContain('--no-processes')
    expect(of('CMD').flatMap(listOf)).toContain('--admin-token-file')
  })

  test('it holds the compiled gateway, production packages and one uWebSockets.js binary, no sources and no tools', () => {
    const app = join(rootOf('image'), 'app')
    expect(readdirSync(app).sort()).toEqual(['bin', 'dist', 'node_modules', 'package.json'])
    expect(filesBelow(join(app, 'node_modules', 'uws'), /\.node$/)).toHaveLength(1)
    expect(filesBelow(join(app, 'dist'), /\.js$/).length).toBeGreaterThan(100)
    expect(filesBelow(join(app, 'dist'), /(?<!\.d)\.ts$/)).toEqual([])
    for (const tool of ['typescript', 'vitest', 'oxlint', 'node', 'cloudevents']) {
      expect(existsSync(join(app, 'node_modules', tool))).toBe(false)
    }
  })

  test('every package it names loads, though no install script has run', () => {
    const app = join(rootOf('image'), 'app')
    const { dependencies } = JSON.parse(readFileSync(join(app, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    expect(Object.keys(dependencies).length).toBeGreaterThan(5)
    const code = `for (const name of ${JSON.stringify(Object.keys(dependencies))}) await import(name)`
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { cwd: app, encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })

  test('its command starts, is healthy, takes and delivers an event, and stops with 0', async () => {
    const folder = rootOf('image')
    const sink = await startSink()
    const manifests = join(folder, 'etc', 'sluice')
    writeFileSync(join(manifests, 'broker.json'), JSON.stringify(broker()))
    writeFileSync(join(manifests, 'trigger.json'), JSON.stringify(trigger('all', sink.url)))
    mkdirSync(join(folder, 'etc', 'sluice-admin'))
    writeFileSync(join(folder, 'etc', 'sluice-admin', 'token'), 'a-token\n')
    const inImage = (words: readonly string[]): string[] => words.map((w) => (w.startsWith('/') ? join(folder, w) : w))
    const [program, ...entry] = of('ENTRYPOINT').flatMap(listOf)
    expect(program).toBe('node')
    // As it stands; only the ports are others.
    const command = [...entry, ...inImage(of('CMD').flatMap(listOf)), '--listen', '0.0.0.0:0', '--admin', '0.0.0.0:0']
    const [uid = 0, gid = 0] = (of('USER')[0] ?? '').split(':').map(Number)
    const cwd = join(folder, 'app')
    // As that user where this one may become it, and the other can reach the Node that runs the tests.
    const as = spawnSync(process.execPath, ['--version'], { cwd, uid, gid }).status === 0 ? { uid, gid } : {}
    const env = { PATH, NODE_ENV: 'production' }
    const child = spawn(process.execPath, command, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], ...as })
    running.push(child)
    let log = ''
    child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()))
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
    const ready = await new Promise<{ listen: string; admin: string }>((resolve, reject) => {
      createInterface({ input: child.stdout }).once('line', (line) =>
        resolve(JSON.parse(line) as { listen: string; admin: string }),
      )
      void exited.then((code) => reject(new Error(`it ended with ${code}: ${log}`)))
    })
    const at = (url: string): string => url.replace('0.0.0.0', '127.0.0.1')
    const health = listOf((of('HEALTHCHECK')[0] ?? '').replace(/^.*?CMD /, ''))
    const ask = (admin: string): number | null =>
      spawnSync(
        process.execPath,
        health.slice(1).map((w) => (w.startsWith('http') ? admin : w)),
        { cwd, env, encoding: 'utf8', ...as },
      ).status
    expect(ask(at(ready.admin))).toBe(0)
    // Reading takes the token on a port that everybody reaches; the probes do not.
    expect((await fetch(`${at(ready.admin)}/api/v1/plan`)).status).toBe(401)
    const plan = await fetch(`${at(ready.admin)}/api/v1/plan`, { headers: { authorization: 'Bearer a-token' } })
    expect(plan.status).toBe(200)
    expect(await post(`${at(ready.listen)}/default/default`, 'from-the-image')).toBe(202)
    await until('it is delivered', () => sink.counts().has('from-the-image'))
    expect(log).not.toMatch(/node:http/)
    child.kill('SIGTERM')
    expect(await exited).toBe(0)
    expect(ask(at(ready.admin))).toBe(1)
    await sink.close()
  })
})
