import { CLIENT_OPTIONS, clientFor, OUTPUT_OPTION, print, subscriptionPath, wantsJson } from './client.ts'
import type { Command } from './command.ts'

export const skip: Command = {
  name: 'skip',
  about: 'Drops what a subscription has not read yet and says how many events that were.',
  usage: 'KIND/NAMESPACE/NAME',
  options: { ...CLIENT_OPTIONS, ...OUTPUT_OPTION },
  async run(args) {
    const result = await clientFor(args).post<{ events: number }>(
      `/api/v1/subscriptions/${subscriptionPath(args.words)}/skip`,
      {},
    )
    if (wantsJson(args)) print(result)
    else process.stdout.write(`${args.words.join('/')} dropped ${result.events} unread events\n`)
    return 0
  },
}
