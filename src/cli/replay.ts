import { CLIENT_OPTIONS, clientFor, OUTPUT_OPTION, print, subscriptionPath, wantsJson } from './client.ts'
import type { Command } from './command.ts'

export const replay: Command = {
  name: 'replay',
  about: 'Reads a stream again for one subscription, from a point to the newest event of now, beside the live reader.',
  usage: 'KIND/NAMESPACE/NAME --from POINT',
  options: {
    from: {
      type: 'string',
      value: 'POINT',
      about: 'earliest, a time such as 2026-01-31T12:00:00Z, or position:N',
      default: 'earliest',
    },
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
  },
  async run(args) {
    const result = await clientFor(args).post<{ events: number }>(
      `/api/v1/subscriptions/${subscriptionPath(args.words)}/replay`,
      { from: args.text('from') },
    )
    if (wantsJson(args)) print(result)
    else process.stdout.write(`replaying ${result.events} events to ${args.words.join('/')}; "sluice get" shows how far it is\n`)
    return 0
  },
}
