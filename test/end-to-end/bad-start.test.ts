import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { broker, post, runCli, startGateway, temporaryFolder, writeManifests, type RunningGateway } from '../gateway.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
async function run(options: Parameters<typeof startGateway>[0]): Promise<RunningGateway> {
  const g = await startGateway(options)
  closing.push(() => g.stop())
  return g
}
const PORTS = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0']

describe('what a bad start gets', () => {
  test('broken manifests: exit 1 and all faults at once, each with its line, and nothing was opened', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'broken.yaml')
    writeFileSync(
      file,
      `apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: { name: default }
spec:
  delivery: { retry: -1 }
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: { name: orders }
spec:
  broker: default
  subscriber:
    urii: http://example.com
`,
    )
    const data = join(folder, 'data')
    const { code, out, err } = await runCli(['run', '-f', file, ...PORTS, '--data', data])
    expect(code).toBe(1)
    expect(out).toBe('')
    expect(err).toMatch(/broken\.yaml:5: Broker default\/default: spec\.delivery\.retry: /)
    expect(err).toMatch(/broken\.yaml:1[23]: Trigger default\/orders: spec\.subscriber/)
    expect(() => readFileSync(join(data, 'lock'))).toThrow('ENOENT')
  })

  test('an image without a command and without a mapping: a fault that says how to map it', async () => {
    const folder = temporaryFolder()
    const file = writeManifests(folder, [
      {
        apiVersion: 'serving.knative.dev/v1',
        kind: 'Service',
        metadata: { name: 'unmapped' },
        spec: { template: { spec: { containers: [{ image: 'registry.example.com/unmapped:1' }] } } },
      },
    ])
    const { code, err } = await runCli(['run', '-f', file, ...PORTS, '--data', join(folder, 'data')])
    expect(code).toBe(1)
    expect(err).toMatch(/Service default\/unmapped: spec\.template\.spec\.containers\[0\]/)
    expect(err).toContain('registry.example.com/unmapped:1')
    expect(err).toContain('--images')
  })

  test('a second gateway on one data folder: exit 1, naming the first', async () => {
    const g = await run({ manifests: [broker()] })
    const file = writeManifests(temporaryFolder(), [broker()])
    const { code, out, err } = await runCli(['run', '-f', file, ...PORTS, '--data', g.data])
    expect(code).toBe(1)
    expect(out).toBe('')
    expect(err).toContain(`process id ${g.pid}`)
    // The first one is unharmed.
    expect(await post(`${g.listen}/default/default`, 'still-here')).toBe(202)
  })

  test('a port that is taken: exit 1, saying which, and the data folder is free again', async () => {
    const g = await run({ manifests: [broker()] })
    const folder = temporaryFolder()
    const file = writeManifests(folder, [broker()])
    const data = join(folder, 'data')
    for (const option of ['--listen', '--admin']) {
      const taken = new URL(option === '--listen' ? g.listen : g.admin).host
      const { code, err } = await runCli(['run', '-f', file, ...PORTS, option, taken, '--data', data])
      expect(code).toBe(1)
      expect(err).toContain(taken)
    }
    await run({ manifests: [broker()], data })
  })

  test('a file that is not there, a folder without manifests, a data folder that is a file: a sentence each', async () => {
    const folder = temporaryFolder()
    const file = writeManifests(folder, [broker()])
    const empty = join(folder, 'empty')
    mkdirSync(empty)
    const [missing, noFolder, nothing] = await Promise.all([
      runCli(['run', '-f', join(folder, 'nowhere.yaml'), ...PORTS, '--data', join(folder, 'data')]),
      runCli(['run', '-f', file, ...PORTS, '--data', file]),
      runCli(['run', '-f', empty, ...PORTS, '--data', join(folder, 'other')]),
    ])
    expect(missing.code).toBe(1)
    expect(missing.err).toContain('nowhere.yaml')
    expect(missing.err).not.toMatch(/\n\s+at /)
    expect(noFolder.code).toBe(1)
    expect(noFolder.err).toContain(file)
    expect(noFolder.err).not.toMatch(/\n\s+at /)
    expect(nothing.code).toBe(1)
    expect(nothing.err).toContain(empty)
  })

  // Each is a process that ends by itself.
  test.concurrent.each([
    [['run'], /run needs manifests/],
    [['run', '-f', 'x.yaml', '--listne', '127.0.0.1:0'], /--listne/],
    [['run', '-f', 'x.yaml', '--listen', 'here'], /--listen is "here"; it must be HOST:PORT/],
    [['run', '-f', 'x.yaml', '--grace', 'soon'], /--grace is "soon"; it must be a duration/],
    [['run', '-f', 'x.yaml', '--http', 'fast'], /--http is "fast"; allowed are uws, node/],
    [['run', '-f', 'x.yaml', '--log-level', 'loud'], /--log-level is "loud"/],
    [['run', '-f', 'x.yaml', '--metrics-detail', 'all'], /--metrics-detail is "all"/],
    [['run', '-f', 'x.yaml', '--admin', '0.0.0.0:0'], /--admin-token-file|--admin-insecure/],
    [['run', '-f', 'x.yaml', '--images', 'nowhere.yaml'], /cannot read --images/],
    [['rnu'], /there is no command "rnu"; there are run, /],
    [['send'], /URL/],
    [['send', 'http://127.0.0.1:1', '--mode', 'fast'], /--mode is "fast"; allowed are binary, structured, batch/],
    [['send', 'http://127.0.0.1:1', '--count', 'many'], /--count is "many"/],
    [['dlq', 'sweep', 'trigger/default/x'], /dlq has no "sweep"/],
    [['pause', 'orders'], /KIND\/NAMESPACE\/NAME/],
    [['get', '-o', 'yaml'], /--output is "yaml"/],
    [['validate'], /nothing to validate/],
    [['schema', 'Nothing'], /Nothing is not served/],
  ] as const)('%j exits 2 with one sentence', async (args, sentence) => {
    const folder = temporaryFolder()
    const file = writeManifests(folder, [broker()])
    const { code, out, err } = await runCli(
      args.map((a) => (a === 'x.yaml' ? file : a)).concat(args[0] === 'run' ? ['--data', join(folder, 'd')] : []),
    )
    expect(err).toMatch(sentence)
    expect(err.trim().split('\n')).toHaveLength(1)
    expect(out).toBe('')
    expect(code).toBe(2)
  })

  test('every command’s --help exits 0 and names its options', async () => {
    const overview = await runCli(['--help'])
    expect(overview.code).toBe(0)
    const commands = [...overview.out.matchAll(/^ {2}([a-z]+) {2}/gm)].map((m) => m[1] ?? '')
    expect(commands.length).toBeGreaterThanOrEqual(14)
    const check = async (command: string): Promise<void> => {
      const { code, out, err } = await runCli([command, '--help'])
      expect(err).toBe('')
      expect(code).toBe(0)
      expect(out).toContain(`sluice ${command}`)
      expect(out).toMatch(/^ {2}-h, --help/m)
      const source = readFileSync(
        join(import.meta.dirname, '..', '..', 'src', 'cli', `${command === 'resume' ? 'pause' : command}.ts`),
        'utf8',
      )
      // Whatever the command reads is in its help.
      for (const [, name] of source.matchAll(/args\.(?:text|flag|list)\('([a-z-]+)'\)/g)) expect(out).toContain(`--${name}`)
    }
    const AT_ONCE = 5
    for (let i = 0; i < commands.length; i += AT_ONCE) await Promise.all(commands.slice(i, i + AT_ONCE).map(check))
  })
})
