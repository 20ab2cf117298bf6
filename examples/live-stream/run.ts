import { join } from 'node:path'
import { createGenerator, sendOverHttp } from '../generator.ts'
import { runWave } from '../wave.ts'

if (process.argv.includes('--help')) {
  console.log(
    'npm start [-- --once]\n\n' +
      'A wave of comments on a live stream, about 450 a second, moderated by a service that takes 200 ms.\n' +
      '--once: one short wave, then the account; exit 1 if an event was lost or a pod was over its limit.',
  )
  process.exit(0)
}

const good = await runWave({
  manifestFile: join(import.meta.dirname, 'live-stream.yaml'),
  change: () => {},
  generator: (scene) => createGenerator(sendOverHttp(`${scene.listen}/default/default`)),
  once: process.argv.includes('--once'),
})
process.exit(good ? 0 : 1)
