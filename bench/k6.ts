import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { startGateway, startSink, broker, trigger } from './system.ts'

// Runs the k6 scripts against a gateway of their own. Needs `k6` on the PATH.

if (spawnSync('k6', ['version'], { stdio: 'ignore' }).status !== 0) {
  console.error('k6 is not on the PATH')
  process.exit(2)
}
const sink = await startSink(20)
const uri = `http://127.0.0.1:${sink.port}/`
const gateway = await startGateway([broker(), trigger('all', uri, {}, { 'sluice.dev/max-concurrency': '64' }), service()])
const run = (script: string, env: readonly string[]): number =>
  spawnSync('k6', ['run', '--quiet', ...env.flatMap((e) => ['-e', e]), join(import.meta.dirname, 'k6', script)], {
    stdio: 'inherit',
  }).status ?? 1

const ingest = run('ingest.js', [`URL=${gateway.listen}/default/default`])
const proxied = run('service.js', [`URL=${gateway.listen}/`, 'SERVICE=worker.default.example.com'])
await gateway.stop()
await sink.stop()
process.exit(ingest === 0 && proxied === 0 ? 0 : 1)

function service(): unknown {
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: 'worker' },
    spec: {
      template: {
        metadata: {
          annotations: {
            'autoscaling.knative.dev/class': 'xpa.autoscaling.knative.dev',
            'autoscaling.knative.dev/maxScale': '8',
          },
        },
        spec: {
          containerConcurrency: 10,
          containers: [
            {
              image: 'worker',
              command: [process.execPath, join(import.meta.dirname, '..', 'test', 'pods', 'worker.js')],
              env: [{ name: 'DELAY_MS', value: '50' }],
            },
          ],
        },
      },
    },
  }
}
