import { CLIENT_OPTIONS, clientFor, subscriptionPath } from './client.ts'
import type { Command } from './command.ts'

export const purge: Command = {
  name: 'purge',
  about: 'Forgets what a removed subscription left behind: its position, its waiting and its parked events.',
  usage: 'KIND/NAMESPACE/NAME',
  options: CLIENT_OPTIONS,
  async run(args) {
    await clientFor(args).post(`/api/v1/subscriptions/${subscriptionPath(args.words)}/purge`, {})
    process.stdout.write(`${args.words.join('/')} is forgotten\n`)
    return 0
  },
}
