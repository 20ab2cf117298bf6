import type { ResourceStatus } from '../observe/operations.ts'
import { Fault } from '../runtime/errors.ts'
import { CLIENT_OPTIONS, clientFor, OUTPUT_OPTION, print, table, wantsJson } from './client.ts'
import type { Command, Parsed } from './command.ts'
import { getEventTypes } from './event-types.ts'

export const get: Command = {
  name: 'get',
  about:
    "Shows resources with Knative's conditions, resolved sinks, address, gate and backlog. Without a KIND all of them. " +
    'eventtypes [TYPE]: what can be subscribed to, with an example to copy.',
  usage: '[KIND] [NAMESPACE/NAME]',
  options: { ...CLIENT_OPTIONS, ...OUTPUT_OPTION },
  async run(args) {
    const [kind = '', name] = args.words
    if (/^eventtypes$/i.test(kind) && name?.includes('/') !== true) return getEventTypes(args, name)
    const client = clientFor(args)
    if (name !== undefined)
      return one(await client.get<ResourceStatus>(`/api/v1/resources/${encodeURIComponent(kind)}/${namePath(name)}`), args)
    const { items } = await client.get<{ items: ResourceStatus[] }>(`/api/v1/resources?kind=${encodeURIComponent(kind)}`)
    if (wantsJson(args)) print({ apiVersion: 'v1', kind: 'List', items })
    else process.stdout.write(table(['KIND', 'NAMESPACE', 'NAME', 'READY', 'ADDRESS', 'BACKLOG', 'REASON'], items.map(row)))
    return 0
  },
}

function namePath(name: string): string {
  const parts = name.split('/')
  if (parts.length > 2) throw new Fault('config.usage', `"${name}" is no NAMESPACE/NAME`)
  return (parts.length === 1 ? ['default', ...parts] : parts).map(encodeURIComponent).join('/')
}

export function row(r: ResourceStatus): string[] {
  const ready = r.status.conditions[0]
  const backlog = r.sluice['backlog'] as { events: number } | undefined
  return [
    r.kind,
    r.metadata.namespace,
    r.metadata.name,
    ready?.status ?? 'Unknown',
    r.status.address?.url ?? '',
    backlog === undefined ? '' : String(backlog.events),
    [ready?.message ?? '', pausedText(r.sluice['paused'] as Readonly<Record<string, number>> | undefined)]
      .filter((text) => text !== '')
      .join('; '),
  ]
}

/** By subscription: how many events wait for it. */
function pausedText(paused: Readonly<Record<string, number>> | undefined): string {
  if (paused === undefined) return ''
  const events = Object.values(paused).reduce((sum, n) => sum + n, 0)
  return events === 0 ? 'paused' : `paused, ${events} events wait`
}

function one(r: ResourceStatus, args: Parsed): number {
  if (wantsJson(args)) {
    print(r)
    return 0
  }
  process.stdout.write(table(['KIND', 'NAMESPACE', 'NAME', 'READY', 'ADDRESS', 'BACKLOG', 'REASON'], [row(r)]))
  process.stdout.write(
    '\n' +
      table(
        ['CONDITION', 'STATUS', 'REASON', 'MESSAGE'],
        r.status.conditions.map((c) => [c.type, c.status, c.reason ?? '', c.message ?? '']),
      ),
  )
  const sinks = Object.entries(r.status).filter(([key]) => key.endsWith('Uri'))
  if (sinks.length > 0)
    process.stdout.write(
      '\n' +
        table(
          ['SINK', 'ADDRESS'],
          sinks.map(([key, uri]) => [key.replace(/Uri$/, ''), String(uri)]),
        ),
    )
  const replays = r.sluice['replays'] as { replay: string; unread: number; waiting: number; delivered: number }[] | undefined
  if (replays !== undefined)
    process.stdout.write(
      '\n' +
        table(
          ['REPLAY', 'UNREAD', 'WAITING', 'DELIVERED'],
          replays.map((x) => [x.replay, x.unread, x.waiting, x.delivered]),
        ),
    )
  const gate = r.sluice['gate'] as
    | { inFlight: number; abandoned: number; queuedEvents: number; queuedRequests: number; limit: number }
    | undefined
  if (gate !== undefined)
    process.stdout.write(
      '\n' +
        table(
          ['IN FLIGHT', 'ABANDONED', 'QUEUED', 'LIMIT'],
          [[gate.inFlight, gate.abandoned, gate.queuedEvents + gate.queuedRequests, gate.limit]],
        ),
    )
  return 0
}
