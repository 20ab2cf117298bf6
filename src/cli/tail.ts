import { CLIENT_OPTIONS, clientFor, OUTPUT_OPTION, subscriptionPath, wantsJson } from './client.ts'
import { numberFrom, type Command } from './command.ts'

export const tail: Command = {
  name: 'tail',
  about:
    'Follows the live events of a broker, channel, trigger or source. What comes faster than it is read is dropped and counted; the gateway never waits. Ctrl-C ends it.',
  usage: 'KIND/NAMESPACE/NAME',
  options: {
    where: { type: 'string', value: 'CESQL', about: 'only events this expression matches' },
    most: { type: 'string', value: 'N', about: 'end after N events; 0 = never', default: '0' },
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
  },
  async run(args) {
    const most = numberFrom(args.text('most'), 'most')
    const json = wantsJson(args)
    const where = args.text('where')
    const path = `/api/v1/tail/${subscriptionPath(args.words)}${where === '' ? '' : `?where=${encodeURIComponent(where)}`}`
    let events = 0
    for await (const line of clientFor(args).lines(path)) {
      const said = JSON.parse(line) as TailLine
      if (said.following !== undefined) process.stderr.write(`following ${said.following.join(', ')}\n`)
      else if (said.dropped !== undefined)
        process.stderr.write(`${said.dropped} events were dropped: they came faster than they were read\n`)
      else {
        process.stdout.write(json ? `${line}\n` : textOf(said))
        if (++events === most) return 0
      }
    }
    return 0
  },
}

interface TailLine {
  readonly following?: readonly string[]
  readonly dropped?: number
  readonly at: string
  readonly where: string
  readonly event: Readonly<Record<string, unknown>>
}

const SHOWN = 200

/** Time, type, source, id, and the beginning of the data. */
function textOf({ at, event }: TailLine): string {
  const data = event['data'] ?? event['data_base64']
  const text = data === undefined ? '' : (typeof data === 'string' ? data : JSON.stringify(data)).slice(0, SHOWN)
  return `${at} ${String(event['type'])} ${String(event['source'])} ${String(event['id'])}${text === '' ? '' : ` ${text}`}\n`
}
