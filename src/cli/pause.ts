import { CLIENT_OPTIONS, clientFor, subscriptionPath } from './client.ts'
import type { Command } from './command.ts'

function switching(name: 'pause' | 'resume', about: string, done: string): Command {
  return {
    name,
    about,
    usage: 'KIND/NAMESPACE/NAME',
    options: CLIENT_OPTIONS,
    async run(args) {
      await clientFor(args).post(`/api/v1/subscriptions/${subscriptionPath(args.words)}/${name}`, {})
      process.stdout.write(`${args.words.join('/')} ${done}\n`)
      return 0
    },
  }
}

export const pause = switching(
  'pause',
  'Stops reading for one subscription or source; what runs ends, nothing is lost, the position holds.',
  'is paused',
)
export const resume = switching('resume', 'Lets a paused subscription or source go on where it stopped.', 'goes on')
