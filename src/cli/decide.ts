import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { hpaByHand, kpaByHand, xpaByHand, type ByHand } from '../autoscaler/by-hand.ts'
import { Fault, messageOf } from '../runtime/errors.ts'
import type { Command } from './command.ts'

const POLICIES: Readonly<Record<string, (spec: Readonly<Record<string, unknown>>) => ByHand>> = {
  kpa: kpaByHand,
  xpa: xpaByHand,
  hpa: hpaByHand,
}

/** The decider by hand: one observation a line in, one decision a line out, through the very functions that scale. */
export const decide: Command = {
  name: 'decide',
  about:
    'Decide by hand: reads one observation a line (JSON) from standard input, writes one decision a line.\n' +
    'kpa reads {"t":seconds,"readyPods":n,"stable":average|null,"panic":average|null,"spec":{changed settings}}; xpa reads t,\n' +
    'inFlight, queued, backlog, arrivalsPerS, serviceMs, coldStartMs, pods; hpa reads t, readyPods, replicas, value.',
  usage: '--policy kpa|xpa|hpa --spec FILE',
  options: {
    policy: { type: 'string', value: 'NAME', about: 'kpa, xpa or hpa', default: 'kpa' },
    spec: { type: 'string', value: 'FILE', about: 'settings, JSON' },
  },
  async run(args) {
    const name = args.text('policy')
    const open = Object.hasOwn(POLICIES, name) ? POLICIES[name] : undefined
    if (open === undefined)
      throw new Fault('config.usage', `--policy is "${name}"; it must be one of ${Object.keys(POLICIES).join(', ')}`)
    if (args.text('spec') === '') throw new Fault('config.usage', '--spec FILE is missing: the settings of the policy as JSON')
    const hand = open(objectFrom(readSpec(args.text('spec')), args.text('spec')))
    let line = 0
    for await (const text of createInterface({ input: process.stdin })) {
      line++
      if (text.trim() === '') continue
      process.stdout.write(`${JSON.stringify(hand(objectFrom(text, `standard input, line ${line}`)))}\n`)
    }
    return 0
  },
}

function readSpec(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (e) {
    throw new Fault('config.usage', `cannot read --spec: ${messageOf(e)}`, e)
  }
}

function objectFrom(text: string, where: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (e) {
    throw new Fault('config.invalid', `${where}: not JSON: ${messageOf(e)}`, e)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Fault('config.invalid', `${where}: must be a JSON object`)
  return value as Readonly<Record<string, unknown>>
}
