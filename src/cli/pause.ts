import type { PauseAnswer } from '../observe/operations.ts'
import { CLIENT_OPTIONS, clientFor, OUTPUT_OPTION, print, subscriptionPath, wantsJson } from './client.ts'
import type { Command } from './command.ts'

function switching(name: 'pause' | 'resume', about: string, done: string): Command {
  return {
    name,
    about,
    usage: 'KIND/NAMESPACE/NAME',
    options: { ...CLIENT_OPTIONS, ...OUTPUT_OPTION },
    async run(args) {
      const path = `/api/v1/subscriptions/${subscriptionPath(args.words)}/${name}`
      const answer = await clientFor(args).post<PauseAnswer>(path, {})
      if (wantsJson(args)) {
        print(answer)
        return 0
      }
      process.stdout.write(`${args.words.join('/')} ${done}${holds(answer)}\n`)
      return 0
    },
  }
}

function holds({ events }: PauseAnswer): string {
  if (events === 0) return ''
  return events === 1 ? '; one event waits for it' : `; ${events} events wait for it`
}

const WHAT = 'KIND is trigger, subscription or a source, or a sequence or parallel for all of its steps.'

export const pause = switching(
  'pause',
  `Stops reading for one subscription or source; what runs ends, nothing is lost, the position holds, also over a restart. ${WHAT}`,
  'is paused',
)
export const resume = switching('resume', `Lets a paused subscription or source go on where it stopped. ${WHAT}`, 'goes on')
