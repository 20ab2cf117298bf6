import { Fault } from '../runtime/errors.ts'
import { helpOf, parseFor, type Command } from './command.ts'

/** Every command, loaded only when it is called: `sluice health` must not pay for the gateway. */
const COMMANDS: Readonly<Record<string, { readonly about: string; load(): Promise<Command> }>> = {
  run: { about: 'run the gateway', load: async () => (await import('./run.ts')).run },
  validate: { about: 'check manifests', load: async () => (await import('./validate.ts')).validate },
  schema: { about: 'print the JSON Schema of a kind', load: async () => (await import('./schema.ts')).schema },
  get: { about: 'show resources and their state', load: async () => (await import('./get.ts')).get },
  status: { about: 'one line a resource; exit 1 unless all is Ready', load: async () => (await import('./status.ts')).status },
  send: { about: 'send events; also a load test', load: async () => (await import('./send.ts')).send },
  dlq: { about: 'list, show, replay and purge parked events', load: async () => (await import('./dlq.ts')).dlq },
  replay: { about: 'read a stream again from a point', load: async () => (await import('./replay.ts')).replay },
  pause: { about: 'stop a subscription without losing anything', load: async () => (await import('./pause.ts')).pause },
  resume: { about: 'let a paused subscription go on', load: async () => (await import('./pause.ts')).resume },
  skip: { about: 'drop what a subscription has not read, aloud', load: async () => (await import('./skip.ts')).skip },
  purge: { about: 'forget a removed subscription', load: async () => (await import('./purge.ts')).purge },
  explain: { about: 'what happened to an event, and why', load: async () => (await import('./explain.ts')).explain },
  tail: { about: 'follow live events', load: async () => (await import('./tail.ts')).tail },
  top: { about: 'live view in the terminal', load: async () => (await import('./top.ts')).top },
  decide: { about: 'decide a scale by hand', load: async () => (await import('./decide.ts')).decide },
  simulate: { about: 'play a load against autoscalers', load: async () => (await import('./simulate.ts')).simulate },
  autoscale: {
    about: "scale others' pods by what gateways or Prometheus say",
    load: async () => (await import('./autoscale.ts')).autoscale,
  },
  health: { about: 'exit 0 when the gateway is ready', load: async () => (await import('./health.ts')).health },
}

/** The command line. Ends the process with the command's exit code: 0 good, 1 the answer is no, 2 wrong usage. */
export async function run(argv: readonly string[]): Promise<void> {
  // A promise alone does not keep Node alive, and no timer of the gateway does.
  const alive = setInterval(() => {}, 1 << 30)
  try {
    process.exitCode = await dispatch(argv)
  } catch (e) {
    if (!(e instanceof Fault)) throw e
    process.stderr.write(`${e.message}\n`)
    process.exitCode = e.code === 'config.usage' ? 2 : 1
  } finally {
    clearInterval(alive)
  }
}

async function dispatch(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(overview())
    return name === undefined ? 2 : 0
  }
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (entry === undefined)
    throw new Fault('config.usage', `there is no command "${name}"; there are ${Object.keys(COMMANDS).join(', ')}`)
  const command = await entry.load()
  const parsed = parseFor(command, rest)
  if (parsed === 'help') {
    process.stdout.write(helpOf(command))
    return 0
  }
  return command.run(parsed)
}

function overview(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((n) => n.length))
  return [
    'sluice COMMAND [options]',
    '',
    ...Object.entries(COMMANDS).map(([n, c]) => `  ${n.padEnd(width)}  ${c.about}`),
    '',
    '"sluice COMMAND --help" tells more.',
    '',
  ].join('\n')
}
