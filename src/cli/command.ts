import { parseArgs } from 'node:util'
import { Fault, messageOf } from '../runtime/errors.ts'

/** One option as `--help` shows it and `parseArgs` reads it. `type` list = may be given more than once. */
export interface Option {
  readonly type: 'string' | 'boolean' | 'list'
  readonly short?: string
  /** What stands for the value in the help, e.g. `PATH`. */
  readonly value?: string
  readonly about: string
  readonly default?: string
}

export type Options = Readonly<Record<string, Option>>

export interface Parsed {
  readonly words: readonly string[]
  text(name: string): string
  list(name: string): readonly string[]
  flag(name: string): boolean
}

/** One command a file: what it is called, how it is used, what it does. `run` gives the exit code. */
export interface Command {
  readonly name: string
  readonly about: string
  /** Behind the name, e.g. `KIND [NAMESPACE/NAME]`. */
  readonly usage: string
  readonly options: Options
  run(args: Parsed): Promise<number>
}

const HELP: Option = { type: 'boolean', short: 'h', about: 'this text' }

/** Throws Fault `config.usage` for what the command does not know. */
export function parseFor(command: Command, argv: readonly string[]): Parsed | 'help' {
  const options = { ...command.options, help: HELP }
  let result: { values: Record<string, unknown>; positionals: string[] }
  try {
    result = parseArgs({
      args: [...argv],
      allowPositionals: true,
      strict: true,
      options: Object.fromEntries(
        Object.entries(options).map(([name, o]) => [
          name,
          {
            type: o.type === 'boolean' ? ('boolean' as const) : ('string' as const),
            multiple: o.type === 'list',
            ...(o.short === undefined ? {} : { short: o.short }),
          },
        ]),
      ),
    })
  } catch (e) {
    throw new Fault(
      'config.usage',
      `${messageOf(e).split('. To specify')[0]}; "sluice ${command.name} --help" lists the options`,
      e,
    )
  }
  if (result.values['help'] === true) return 'help'
  return {
    words: result.positionals,
    text: (name) => (result.values[name] as string | undefined) ?? command.options[name]?.default ?? '',
    list: (name) => (result.values[name] as string[] | undefined) ?? [],
    flag: (name) => result.values[name] === true,
  }
}

export function helpOf(command: Command): string {
  const rows = Object.entries({ ...command.options, help: HELP }).map(([name, o]) => {
    const left = `${o.short === undefined ? '    ' : `-${o.short}, `}--${name}${o.type === 'boolean' ? '' : ` ${o.value ?? 'TEXT'}`}`
    return [left, o.about + (o.default === undefined || o.default === '' ? '' : ` (default ${o.default})`)] as const
  })
  const width = Math.max(...rows.map(([left]) => left.length))
  return [
    `sluice ${command.name} ${command.usage}`.trim(),
    '',
    command.about,
    '',
    ...rows.map(([left, about]) => `  ${left.padEnd(width)}  ${about}`),
    '',
  ].join('\n')
}

/** A whole number of at least `least`, or a fault that says what is allowed. */
export function numberFrom(text: string, option: string, least = 0): number {
  const n = Number(text)
  if (!Number.isFinite(n) || n < least)
    throw new Fault('config.usage', `--${option} is "${text}"; it must be a number of at least ${least}`)
  return n
}

/** `127.0.0.1:8080`, `[::1]:8080`, `:8080`. */
export function addressFrom(text: string, option: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d+)$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535)
    throw new Fault('config.usage', `--${option} is "${text}"; it must be HOST:PORT, port 0 picks a free one`)
  return { host: match[1] ?? (match[2] === '' ? '127.0.0.1' : (match[2] ?? '')), port }
}

/** `30s`, `500ms`, `2m`, `1h`, or a plain number of seconds. */
export function durationMsFrom(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text)
  if (match === null) throw new Fault('config.usage', `--${option} is "${text}"; it must be a duration such as 30s, 500ms or 2m`)
  const unit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match[2] ?? 's'] ?? 1_000
  return Number(match[1]) * unit
}
