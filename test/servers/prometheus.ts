import { execFile } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { until } from '../until.ts'
import { freePorts, startWatched } from './processes.ts'

/** Whether the tests of Prometheus run: under CI a missing one is a failure, elsewhere they say why they are skipped. */
export async function havePrometheus(): Promise<{ readonly skip: boolean; readonly note: string }> {
  try {
    await promisify(execFile)('prometheus', ['--version'])
    return { skip: false, note: '' }
  } catch (e) {
    const skip = process.env['CI'] !== 'true'
    if (!skip) throw new Error('prometheus is missing: scripts/install-test-servers.sh installs it', { cause: e })
    return { skip, note: ' (skipped: needs prometheus, scripts/install-test-servers.sh installs it)' }
  }
}

export interface RunningPrometheus {
  readonly url: string
  /** The value of an instant query with one series, null = none. */
  query(text: string): Promise<number | null>
  stop(): Promise<void>
}

/** A Prometheus that scrapes these targets twice a second as job `sluice`. */
export async function startPrometheus(targets: readonly string[]): Promise<RunningPrometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-prometheus-'))
  const config = join(folder, 'prometheus.json')
  // JSON is YAML.
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '500ms', scrape_timeout: '500ms' },
      scrape_configs: [{ job_name: 'sluice', static_configs: [{ targets }] }],
    }),
  )
  const [port = 0] = await freePorts(1)
  const url = `http://127.0.0.1:${port}`
  const server = await startWatched(
    'prometheus',
    [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=127.0.0.1:${port}`],
    join(folder, 'log'),
    folder,
  )
  await until('Prometheus is ready', async () => (await fetch(`${url}/-/ready`)).ok, 60_000)
  return {
    url,
    async query(text) {
      const response = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(text)}`)
      const { data } = (await response.json()) as { data: { result: { value: [number, string] }[] } }
      return data.result.length === 1 ? Number(data.result[0]?.value[1]) : null
    },
    stop: () => server.kill('SIGKILL'),
  }
}
