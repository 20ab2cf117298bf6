import { CLIENT_OPTIONS, clientFor } from './client.ts'
import type { Command } from './command.ts'

export const health: Command = {
  name: 'health',
  about: 'Exit code 0 when the gateway is ready, else 1. Made for probes.',
  usage: '',
  options: CLIENT_OPTIONS,
  async run(args) {
    const state = await clientFor(args).get<{ ready: boolean; degraded: { resource: string; reason: string }[] }>('/readyz')
    for (const d of state.degraded) process.stdout.write(`degraded: ${d.resource}: ${d.reason}\n`)
    return state.ready ? 0 : 1
  },
}
