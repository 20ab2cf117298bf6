import { stringify } from 'yaml'
import type { EventTypeList, EventTypeView } from '../engine/event-types.ts'
import { Fault } from '../runtime/errors.ts'
import { clientFor, print, table, wantsJson } from './client.ts'
import type { Parsed } from './command.ts'

/** `sluice get eventtypes [TYPE]`: what can be subscribed to, and a manifest that does. */
export async function getEventTypes(args: Parsed, type: string | undefined): Promise<number> {
  const list = await clientFor(args).get<EventTypeList>('/api/v1/eventtypes')
  const items = type === undefined ? list.items : list.items.filter((i) => i.type === type)
  if (wantsJson(args)) {
    print({ ...list, items })
    return 0
  }
  if (type !== undefined && items.length === 0) {
    const known = [...new Set(list.items.map((i) => i.type))].slice(0, 20).join(', ')
    throw new Fault('admin.refused', `no event of type ${type} is known; known are: ${known === '' ? 'none' : known}`)
  }
  process.stdout.write(table(['AT', 'TYPE', 'SOURCE', 'SCHEMA', 'DECLARED', 'SEEN', 'DESCRIPTION'], items.map(row)))
  for (const [stream, n] of Object.entries(list.leftOut)) {
    process.stdout.write(`${stream} has more types than are listed (${n} events of others came by)\n`)
  }
  const example = items.find((i) => i.example !== null)?.example
  if (example !== undefined) process.stdout.write(`\n# To subscribe, with your own service:\n${stringify(example)}`)
  return 0
}

function row(i: EventTypeView): string[] {
  const at = i.reference === null ? '' : `${i.reference.kind.toLowerCase()}/${i.reference.namespace}/${i.reference.name}`
  return [at, i.type, i.source, i.schema, i.declared, i.found, i.description]
}
