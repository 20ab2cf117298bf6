import type { ReplayAnswer } from '../observe/operations.ts'
import { CLIENT_OPTIONS, clientFor, OUTPUT_OPTION, print, subscriptionPath, wantsJson } from './client.ts'
import type { Command } from './command.ts'

export const replay: Command = {
  name: 'replay',
  about:
    'Delivers what a subscription or source has had once more. Without --rewind a second reader goes from the point to the ' +
    'newest event of now, beside the live one, which is untouched; where the system has one reader a subscription, that is ' +
    'refused. With --rewind the live position itself is set back.',
  usage: 'KIND/NAMESPACE/NAME --from POINT [--rewind]',
  options: {
    from: {
      type: 'string',
      value: 'POINT',
      about: 'earliest, a time such as 2026-01-31T12:00:00Z, or position:N',
      default: 'earliest',
    },
    rewind: { type: 'boolean', about: 'set the live position back: everything from the point on is delivered again' },
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
  },
  async run(args) {
    const result = await clientFor(args).post<ReplayAnswer>(`/api/v1/subscriptions/${subscriptionPath(args.words)}/replay`, {
      from: args.text('from'),
      rewind: args.flag('rewind'),
    })
    const name = args.words.join('/')
    if (wantsJson(args)) print(result)
    else if (result.how === 'rewind')
      process.stdout.write(`${name} was set back and goes on from there; its backlog in "sluice get" shows how far it is\n`)
    else process.stdout.write(`replaying ${result.events} events to ${name}; "sluice get" shows how far it is\n`)
    return 0
  },
}
