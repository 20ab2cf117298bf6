import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { broker, post, runCli, startGateway, temporaryFolder, trigger, writeManifests, type RunningGateway } from '../gateway.ts'
import { accountOf, service, toService } from '../pods/service.ts'
import { until } from '../until.ts'

/** Gone, or dead and only not yet waited for by whoever inherited it. */
function lives(pid: number): boolean {
  if (!existsSync(`/proc/${pid}`)) return false
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z'
  } catch {
    return false
  }
}

/** Processes whose environment or command line carries the mark: the pods of one test and whatever they started. */
function marked(mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return lives(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(mark)
      } catch {
        return false
      }
    })
}

/** Processes below another one, all the way down. */
function descendants(pid: number): number[] {
  let children: number[]
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
  return children.flatMap((child) => [child, ...descendants(child)])
}

/** A Node older than the gateway needs, among those on the PATH; '' when there is none. */
function olderNode(): string {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, 'node')
    if (!existsSync(path) || realpathSync(path) === realpathSync(process.execPath)) continue
    try {
      const major = Number(/^v(\d+)\./.exec(execFileSync(path, ['--version']).toString())?.[1])
      if (major >= 20 && major < 22) return path
    } catch {
      // Not a Node that runs here.
    }
  }
  return ''
}

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
async function run(options: Parameters<typeof startGateway>[0]): Promise<RunningGateway> {
  const g = await startGateway(options)
  closing.push(() => g.kill())
  return g
}
const MANY = { 'autoscaling.knative.dev/minScale': '4', 'autoscaling.knative.dev/maxScale': '4' }
const podFiles = (data: string): string[] => (existsSync(join(data, 'pods')) ? readdirSync(join(data, 'pods')) : [])

describe('no pod outlives its gateway', () => {
  test('killed while its pods are starting, and again at once: none is left', async () => {
    const mark = `MARK_${process.pid}_starting`
    const manifests = [service('worker', { env: { [mark]: '1', START_MS: '600000' }, annotations: MANY })]
    const data = temporaryFolder()
    for (let round = 0; round < 3; round++) {
      const g = await run({ manifests, data })
      // In the first rounds some are not even spawned.
      await until('pods are starting', () => marked(mark).length >= (round === 0 ? 1 : round === 1 ? 2 : 4))
      await g.kill()
      await until('all are gone', () => marked(mark).length === 0, 10_000)
    }
  })

  test('killed while pods are busy and stopping: none is left, the next start finds nothing to end', async () => {
    const mark = `MARK_${process.pid}_busy`
    const account = join(temporaryFolder(), 'account')
    const data = temporaryFolder()
    const manifests = [
      broker(),
      trigger('work', toService('worker')),
      service('worker', {
        containerConcurrency: 2,
        env: { [mark]: '1', DELAY_MS: '60000', ACCOUNT: account },
        annotations: { ...MANY, 'autoscaling.knative.dev/minScale': '1' },
      }),
    ]
    const g = await run({ manifests, data })
    for (let i = 0; i < 6; i++) expect(await post(`${g.listen}/default/default`, `b${i}`)).toBe(202)
    await until('pods are busy', () => accountOf(account).length === 6)
    // One stop is under way when the kill comes: it waits for what runs.
    g.signal('SIGTERM')
    await until('it drains', () => g.log.some((line) => line.includes('"stopping"')))
    g.signal('SIGKILL')
    await g.gone
    await until('all are gone', () => marked(mark).length === 0, 15_000)
    const again = await run({ manifests: [broker()], data })
    await until('the list of pods is empty', () => podFiles(data).length === 0)
    expect(again.log.some((line) => line.includes('"error"'))).toBe(false)
  })

  test('a grandchild that ignores SIGTERM goes too', async () => {
    const mark = `MARK_${process.pid}_stubborn`
    const manifests = [
      {
        apiVersion: 'serving.knative.dev/v1',
        kind: 'Service',
        metadata: { name: 'stubborn' },
        spec: {
          template: {
            metadata: { annotations: { 'autoscaling.knative.dev/minScale': '1' } },
            spec: {
              containers: [
                {
                  image: 'registry.example.com/stubborn',
                  command: ['/bin/sh', '-c', `trap '' TERM; (trap '' TERM; sleep 600; sleep 600) & sleep 600; sleep 600`],
                  env: [{ name: mark, value: '1' }],
                },
              ],
            },
          },
        },
      },
    ]
    const g = await run({ manifests })
    await until('parent and children run', () => marked(mark).length >= 3)
    await g.kill()
    await until('all are gone', () => marked(mark).length === 0, 15_000)
  })
})

const node20 = olderNode()
const note = node20 === '' ? ' (skipped: needs a Node 20 or 21 on the PATH)' : ''

describe.skipIf(node20 === '')(`started by an older Node: a parent and the gateway below it${note}`, () => {
  let trees = 0
  const tree = async (): Promise<{ g: RunningGateway; launcher: number; mark: string }> => {
    const mark = `MARK_${process.pid}_tree_${trees++}`
    const g = await run({
      manifests: [service('worker', { env: { [mark]: '1' }, annotations: { 'autoscaling.knative.dev/minScale': '2' } })],
      node: node20,
    })
    await until('two pods run', () => marked(mark).length === 2)
    const launcher = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${g.pid}/status`, 'utf8'))?.[1])
    expect(descendants(launcher)).toContain(g.pid)
    return { g, launcher, mark }
  }

  test('SIGKILL of the parent takes the gateway and its pods along', async () => {
    const { g, launcher, mark } = await tree()
    process.kill(launcher, 'SIGKILL')
    await until('the gateway is gone', () => !lives(g.pid), 10_000)
    await until('its pods are gone', () => marked(mark).length === 0, 10_000)
  })

  test('SIGKILL of the gateway ends the parent with 1, and the pods', async () => {
    const { g, launcher, mark } = await tree()
    process.kill(g.pid, 'SIGKILL')
    expect(await g.gone).toBe(1)
    expect(lives(launcher)).toBe(false)
    await until('its pods are gone', () => marked(mark).length === 0, 10_000)
  })

  test('SIGTERM to the parent drains the gateway: exit 0, no pod is left; SIGHUP reloads', async () => {
    const { g, launcher, mark } = await tree()
    expect(launcher).not.toBe(g.pid)
    g.signal('SIGHUP')
    await until('it has reloaded', () => g.log.some((line) => line.includes('the manifests were taken')))
    expect(await g.stop()).toBe(0)
    await until('its pods are gone', () => marked(mark).length === 0, 10_000)
  })

  test('exit codes pass through: a broken manifest is 1, a wrong flag 2', async () => {
    const exit = (args: readonly string[]): Promise<number | null> =>
      new Promise((resolve) => {
        const child = spawn(node20, [join(import.meta.dirname, '..', '..', 'bin', 'sluice.js'), ...args], { stdio: 'ignore' })
        child.on('exit', resolve)
      })
    const file = writeManifests(temporaryFolder(), [
      { apiVersion: 'eventing.knative.dev/v1', kind: 'Broker', metadata: {}, nope: 1 },
    ])
    expect(await exit(['validate', '-f', file])).toBe(1)
    expect(await exit(['run', '--nope'])).toBe(2)
    expect(await exit(['--help'])).toBe(0)
    expect((await runCli(['--help'])).code).toBe(0)
  })
})
