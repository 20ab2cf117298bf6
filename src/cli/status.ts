import type { ResourceStatus } from '../observe/operations.ts'
import { CLIENT_OPTIONS, clientFor, OUTPUT_OPTION, print, table, wantsJson } from './client.ts'
import type { Command } from './command.ts'
import { row } from './get.ts'

export const status: Command = {
  name: 'status',
  about: 'One line a resource. Exit code 1 unless all are Ready.',
  usage: '',
  options: { ...CLIENT_OPTIONS, ...OUTPUT_OPTION },
  async run(args) {
    const { items } = await clientFor(args).get<{ items: ResourceStatus[] }>('/api/v1/resources')
    const unready = items.filter((r) => r.status.conditions[0]?.status !== 'True')
    if (wantsJson(args))
      print({
        ready: unready.length === 0,
        items: items.map((r) => ({ kind: r.kind, ...r.metadata, conditions: r.status.conditions, paused: r.sluice['paused'] })),
      })
    else {
      process.stdout.write(table(['KIND', 'NAMESPACE', 'NAME', 'READY', 'ADDRESS', 'BACKLOG', 'REASON'], items.map(row)))
      process.stdout.write(
        unready.length === 0 ? `\nall ${items.length} are Ready\n` : `\n${unready.length} of ${items.length} are not Ready\n`,
      )
    }
    return unready.length === 0 ? 0 : 1
  },
}
