import { readFileSync } from 'node:fs'
import type { Plan } from '../contract/plan.ts'
import { faultText, inOrder } from '../resources/faults.ts'
import { parseImages } from '../resources/images.ts'
import { loadPaths } from '../resources/load.ts'
import { planFrom } from '../resources/plan.ts'
import { Fault, messageOf } from '../runtime/errors.ts'
import type { Command } from './command.ts'

/** Checks manifests without running anything: every fault at once, one a line. */
export const validate: Command = {
  name: 'validate',
  about: 'Check manifests: exit 0, or 1 with every fault at once as FILE:LINE: KIND NAMESPACE/NAME: PATH: what is wrong.',
  usage: '-f PATH…',
  options: {
    filename: {
      type: 'list',
      short: 'f',
      value: 'PATH',
      about: 'a file, a folder, or - for standard input; may be given more than once',
    },
    images: { type: 'string', value: 'FILE', about: 'which images run as which command, as for "sluice run"' },
    processes: { type: 'boolean', about: 'Services must be able to run as processes here, as "sluice run" asks' },
    quiet: { type: 'boolean', short: 'q', about: 'no notices and no last line, faults only' },
    output: { type: 'string', short: 'o', value: 'FORMAT', about: 'text or json', default: 'text' },
  },
  async run(args) {
    const paths = [...args.list('filename'), ...args.words]
    if (paths.length === 0) throw new Fault('config.usage', 'nothing to validate; name files or folders with -f PATH')
    const format = args.text('output')
    if (format !== 'text' && format !== 'json')
      throw new Fault('config.usage', `--output is "${format}"; it must be text or json`)
    const imagesFile = args.text('images')
    const images = imagesFile === '' ? { images: [], faults: [] } : parseImages(textOf(imagesFile), imagesFile)
    const loaded = loadPaths(paths, paths.includes('-') ? await standardInput() : '')
    const settings = { domain: '', images: images.images, self: [], generation: 1 }
    const run = planFrom(loaded.documents, { ...settings, processes: true })
    // A manifest from a cluster has no command here and is valid all the same, unless somebody asks whether it runs here.
    const here = imagesFile !== '' || args.flag('processes')
    const { plan, faults } = here ? run : planFrom(loaded.documents, { ...settings, processes: false })
    const all = [...images.faults, ...inOrder([...loaded.faults, ...faults], loaded.files)]
    const told = new Set(faults.map(faultText))
    const toRun = run.faults.map(faultText).filter((f) => !told.has(f))
    if (format === 'json') {
      process.stdout.write(
        `${JSON.stringify({ valid: all.length === 0, faults: all, notices: [...plan.notices, ...toRun, ...unresolved(plan)], resources: plan.resources.length }, null, 2)}\n`,
      )
    } else {
      if (!args.flag('quiet')) for (const notice of plan.notices) process.stderr.write(`${notice}\n`)
      if (!args.flag('quiet')) for (const text of toRun) process.stderr.write(`to run it here: ${text}\n`)
      if (!args.flag('quiet')) for (const text of unresolved(plan)) process.stderr.write(`${text}\n`)
      for (const f of all) process.stdout.write(`${faultText(f)}\n`)
      if (!args.flag('quiet') && all.length === 0) process.stdout.write(`${count(plan.resources.length, 'resource')} valid\n`)
      if (!args.flag('quiet') && all.length > 0) process.stderr.write(`${count(all.length, 'fault')}\n`)
    }
    return all.length === 0 ? 0 : 1
  },
}

/** Accepted, but not Ready until something is there: told, no fault, as it may stand in other manifests. */
function unresolved(plan: Plan): string[] {
  return plan.resources.flatMap((r) => r.unresolved.map((u) => `not resolved: ${r.kind} ${r.namespace}/${r.name}: ${u.message}`))
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (e) {
    throw new Fault('config.usage', `${file} cannot be read: ${messageOf(e)}`, e)
  }
}

/** Chunk by chunk: a synchronous read of a pipe that is not filled yet fails with EAGAIN. */
async function standardInput(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
