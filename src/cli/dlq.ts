import type { ParkedView } from '../observe/operations.ts'
import { Fault } from '../runtime/errors.ts'
import { CLIENT_OPTIONS, clientFor, OUTPUT_OPTION, print, subscriptionPath, table, wantsJson, type Client } from './client.ts'
import { numberFrom, type Command, type Parsed } from './command.ts'

export const dlq: Command = {
  name: 'dlq',
  about:
    'Events that were given up and parked, with the story of every attempt. Without a subscription "list" shows how many each has.',
  usage: 'list|show|replay|purge [KIND/NAMESPACE/NAME] [ID …]',
  options: {
    where: { type: 'string', value: 'CESQL', about: 'replay only events this expression matches' },
    rate: { type: 'string', value: 'N', about: 'replay at most N events a second', default: '0' },
    to: { type: 'string', value: 'URL', about: 'replay to another place than the subscription' },
    'dry-run': { type: 'boolean', about: 'only say how many events replay would take' },
    all: { type: 'boolean', about: 'purge everything the subscription has parked' },
    most: { type: 'string', value: 'N', about: 'list at most N events', default: '100' },
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
  },
  async run(args) {
    const [what, subscription, ...ids] = args.words
    const client = clientFor(args)
    if (what === 'list' && subscription === undefined) return keys(client, args)
    if (subscription === undefined)
      throw new Fault('config.usage', 'dlq takes list, show, replay or purge, and a subscription such as trigger/default/orders')
    const path = `/api/v1/dlq/${subscriptionPath([subscription])}`
    if (what === 'list') return list(client, path, args)
    if (what === 'show') return show(client, path, ids)
    if (what === 'replay') return replay(client, path, ids, args)
    if (what === 'purge') return purge(client, path, ids, args)
    throw new Fault('config.usage', `dlq has no "${what}"; it has list, show, replay and purge`)
  },
}

async function keys(client: Client, args: Parsed): Promise<number> {
  const { items } = await client.get<{ items: { key: string; events: number; bytes: number; known: boolean }[] }>('/api/v1/dlq')
  if (wantsJson(args)) print({ items })
  else
    process.stdout.write(
      table(
        ['SUBSCRIPTION', 'EVENTS', 'BYTES', ''],
        items.map((i) => [i.key, i.events, i.bytes, i.known ? '' : 'removed']),
      ),
    )
  return 0
}

async function list(client: Client, path: string, args: Parsed): Promise<number> {
  const { items } = await client.get<{ items: ParkedView[] }>(`${path}?most=${numberFrom(args.text('most'), 'most', 1)}`)
  if (wantsJson(args)) print({ items })
  else process.stdout.write(table(['ID', 'PARKED AT', 'REASON', 'EVENT', 'ATTEMPTS', 'LAST ERROR'], items.map(row)))
  return 0
}

function row(v: ParkedView): (string | number)[] {
  const event = v.event as { source: string; id: string } | null
  const last = v.attempts.at(-1)
  return [
    v.id,
    v.parkedAt,
    v.reason,
    event === null ? '(no event)' : `${event.source} ${event.id}`,
    v.attempts.length,
    last === undefined ? (v.raw?.why ?? '') : `${last.status} ${last.error}`.trim(),
  ]
}

async function show(client: Client, path: string, ids: readonly string[]): Promise<number> {
  if (ids.length === 0) throw new Fault('config.usage', 'dlq show takes the id of an event; "dlq list" has them')
  for (const id of ids) print(await client.get(`${path}/${encodeURIComponent(id)}`))
  return 0
}

async function replay(client: Client, path: string, ids: readonly string[], args: Parsed): Promise<number> {
  const body = {
    where: args.text('where'),
    rate: numberFrom(args.text('rate'), 'rate'),
    to: args.text('to'),
    dryRun: args.flag('dry-run'),
    ids,
  }
  const result = await client.post<{ matched: number; replayed: number; failed: number }>(`${path}/replay`, body)
  if (wantsJson(args)) print(result)
  else
    process.stdout.write(
      body.dryRun
        ? `${result.matched} events match\n`
        : `${result.matched} matched, ${result.replayed} replayed, ${result.failed} failed and stay parked\n`,
    )
  return result.failed === 0 ? 0 : 1
}

async function purge(client: Client, path: string, ids: readonly string[], args: Parsed): Promise<number> {
  if (ids.length === 0 && !args.flag('all'))
    throw new Fault('config.usage', 'dlq purge deletes for good: name the ids, or say --all')
  const result = await client.post<{ purged: number }>(`${path}/purge`, ids.length === 0 ? {} : { ids })
  process.stdout.write(`${result.purged} events deleted\n`)
  return 0
}
