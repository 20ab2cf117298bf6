import { readFileSync } from 'node:fs'
import type { ClauseResult } from '../contract/filter.ts'
import type { SubscriptionPlan } from '../contract/plan.ts'
import { isBad } from '../event/attributes.ts'
import type { CloudEvent } from '../event/event.ts'
import { decodeStructured } from '../event/json.ts'
import { compileFilter } from '../filter/compile.ts'
import type { EventStory, SubscriptionStory } from '../observe/watch.ts'
import { faultOf } from '../resources/faults.ts'
import { loadPaths } from '../resources/load.ts'
import { planFrom } from '../resources/plan.ts'
import { Fault, messageOf } from '../runtime/errors.ts'
import { CLIENT_OPTIONS, clientFor, OUTPUT_OPTION, print, table, wantsJson } from './client.ts'
import type { Command, Parsed } from './command.ts'

export const explain: Command = {
  name: 'explain',
  about:
    'What happened to an event: which triggers looked at it, which clause refused it, each attempt, where it is now.\n' +
    '"explain service NAMESPACE/NAME" tells why a Service has the pods it has.\n' +
    'With --event, -f and --trigger a filter is evaluated clause by clause, without a gateway.',
  usage: 'ID | service NAMESPACE/NAME | --event FILE -f PATH --trigger NAMESPACE/NAME',
  options: {
    event: { type: 'string', value: 'FILE', about: 'an event as JSON (structured mode), - for standard input' },
    file: { type: 'list', short: 'f', value: 'PATH', about: 'manifests with the trigger; may be repeated' },
    trigger: { type: 'string', value: 'NAMESPACE/NAME', about: 'the trigger, or KIND/NAMESPACE/NAME of another subscription' },
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
  },
  run(args) {
    const [first, second] = args.words
    if (args.text('event') !== '') return Promise.resolve(offline(args))
    if (first === undefined)
      throw new Fault('config.usage', 'explain takes the id of an event, "service NAMESPACE/NAME", or --event FILE')
    return first === 'service' && second !== undefined ? decisions(second, args) : story(first, args)
  },
}

interface Explained {
  readonly matched: boolean
  readonly clauses: readonly ClauseResult[]
}

function offline(args: Parsed): number {
  const event = eventFrom(args.text('event'))
  const { filter } = subscriptionFrom(args)
  const compiled = filter === null ? null : compileFilter(filter)
  const result: Explained = {
    matched: compiled === null || compiled.matches(event, () => {}),
    clauses: compiled?.explain(event) ?? [{ clause: 'filters', matched: true, why: 'no filter: every event matches' }],
  }
  if (wantsJson(args)) print(result)
  else process.stdout.write(`${result.matched ? 'matched' : 'not matched'}\n${clauseTable(result.clauses)}`)
  return 0
}

function eventFrom(file: string): CloudEvent {
  let bytes: Buffer
  try {
    bytes = readFileSync(file === '-' ? 0 : file)
  } catch (e) {
    throw new Fault('config.usage', `cannot read --event: ${messageOf(e)}`, e)
  }
  const event = decodeStructured(bytes)
  if (isBad(event)) throw new Fault('ingress.bad-event', `${file} is no event in JSON: ${event.message}`)
  return event
}

function subscriptionFrom(args: Parsed): SubscriptionPlan {
  const paths = args.list('file')
  const named = args.text('trigger')
  if (paths.length === 0 || named === '')
    throw new Fault('config.usage', '--event needs the manifests (-f PATH) and the trigger (--trigger NAMESPACE/NAME)')
  const loaded = loadPaths(paths, paths.includes('-') ? readFileSync(0, 'utf8') : '')
  const settings = { domain: '', images: [], self: [], generation: 1, processes: false }
  const { plan, faults } = planFrom(loaded.documents, settings)
  const all = [...loaded.faults, ...faults]
  if (all.length > 0) throw faultOf(all)
  const parts = named.split('/')
  const key = parts.length === 3 ? named.toLowerCase() : `trigger/${parts.length === 1 ? 'default/' : ''}${named}`
  const found = plan.subscriptions.find((s) => s.key.toLowerCase() === key)
  if (found !== undefined) return found
  const known = plan.subscriptions.map((s) => s.key).join(', ')
  throw new Fault('config.usage', `--trigger is "${named}"; the manifests have ${known === '' ? 'no trigger' : known}`)
}

async function story(id: string, args: Parsed): Promise<number> {
  const { items } = await clientFor(args).get<{ items: EventStory[] }>(`/api/v1/events/${encodeURIComponent(id)}`)
  if (wantsJson(args)) print({ items })
  else for (const item of items) process.stdout.write(storyText(item))
  return 0
}

function storyText(s: EventStory): string {
  const { id, source, type } = s.event as { id: string; source: string; type: string }
  const stored = s.streams.map((x) => `  stored in ${x.stream} at ${x.at}\n`).join('')
  const again = s.repeats === 0 ? '' : `  came again ${s.repeats} times within the dedup window\n`
  const subscriptions =
    s.subscriptions.length === 0 ? '  no subscription looked at it\n' : s.subscriptions.map(subscriptionText).join('')
  return `event ${id} of ${source}, type ${type}\n${stored}${again}${subscriptions}\n`
}

function subscriptionText(s: SubscriptionStory): string {
  const attempts = s.attempts.map(
    (a) =>
      `    #${a.attempt} ${a.at} ${a.outcome}${a.status === 0 ? '' : ` ${a.status}`} in ${a.tookMs} ms${a.waitedMs > 0 ? ` after ${a.waitedMs} ms for a credit` : ''}${a.why === '' ? '' : `: ${a.why}`}\n`,
  )
  const refused = s.matched ? '' : clauseTable(s.clauses.filter((c) => !c.matched)).replace(/^(?=.)/gm, '    ')
  const note = s.note === '' ? '' : `    ${s.note}\n`
  const replies = s.replies.map((id) => `    replied with event ${id}\n`).join('')
  return `  ${s.subscription} ${s.now}\n${attempts.join('')}${replies}${note}${refused}`
}

function clauseTable(clauses: readonly ClauseResult[]): string {
  return table(
    ['CLAUSE', 'MATCHED', 'WHY'],
    clauses.map((c) => [c.clause, c.matched ? 'yes' : 'no', c.why]),
  )
}

interface DecisionRow {
  readonly atMs: number
  readonly desired: number
  readonly before: number
  readonly removed: readonly string[]
  readonly reason: string
}

async function decisions(name: string, args: Parsed): Promise<number> {
  const [namespace, service] = name.includes('/') ? name.split('/', 2) : ['default', name]
  const path = `/api/v1/services/${encodeURIComponent(namespace ?? '')}/${encodeURIComponent(service ?? '')}/decisions`
  const { items } = await clientFor(args).get<{ items: DecisionRow[] }>(path)
  if (wantsJson(args)) print({ items })
  else
    process.stdout.write(
      table(
        ['AT', 'PODS', 'WHY'],
        items.map((d) => [new Date(d.atMs).toISOString(), `${d.before} → ${d.desired}`, d.reason]),
      ),
    )
  return 0
}
