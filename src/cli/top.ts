import { setTimeout as wait } from 'node:timers/promises'
import type { Snapshot, SubscriptionNumbers } from '../observe/snapshot.ts'
import { CLIENT_OPTIONS, clientFor, table } from './client.ts'
import { numberFrom, type Command } from './command.ts'

export const top: Command = {
  name: 'top',
  about: 'Live view: services with pods, in flight and queue, subscriptions with rates and backlog. Ctrl-C ends it.',
  usage: '',
  options: {
    interval: { type: 'string', value: 'S', about: 'seconds between two looks', default: '1' },
    once: { type: 'boolean', about: 'one look' },
    ...CLIENT_OPTIONS,
  },
  async run(args) {
    const client = clientFor(args)
    const everyMs = numberFrom(args.text('interval'), 'interval', 0.1) * 1_000
    let before: { atMs: number; snapshot: Snapshot } | null = null
    for (;;) {
      const snapshot = await client.get<Snapshot>('/api/v1/snapshot')
      const atMs = performance.now()
      const text = view(snapshot, before === null ? null : { snapshot: before.snapshot, seconds: (atMs - before.atMs) / 1_000 })
      if (args.flag('once')) {
        process.stdout.write(text)
        return 0
      }
      // Home, then clear what the last look left below.
      process.stdout.write(process.stdout.isTTY ? `\u001B[H\u001B[2J${text}` : `${text}\n`)
      before = { atMs, snapshot }
      await wait(everyMs)
    }
  },
}

function view(now: Snapshot, before: { snapshot: Snapshot; seconds: number } | null): string {
  const earlier = new Map(before?.snapshot.subscriptions.map((s) => [s.key, s]))
  const perS = (s: SubscriptionNumbers): string => {
    const was = earlier.get(s.key)
    return was === undefined || before === null ? '' : ((s.delivered - was.delivered) / before.seconds).toFixed(0)
  }
  const services = now.services.map((s) => [
    s.key,
    s.revision,
    s.observation.pods.filter((p) => p.phase === 'ready').length,
    s.observation.pods.filter((p) => p.phase === 'starting').length,
    s.desired,
    s.gate.inFlight,
    s.gate.queuedRequests + s.gate.queuedEvents,
    s.gate.limit,
    s.observation.serviceMs === null ? '' : s.observation.serviceMs.toFixed(1),
  ])
  const subscriptions = now.subscriptions.map((s) => [
    s.key,
    perS(s),
    s.delivered,
    s.waiting,
    s.backlog,
    s.retries,
    s.deadLettered,
    s.parkedNow,
    s.paused ? 'paused' : s.held,
  ])
  return (
    table(['SERVICE', 'REVISION', 'READY', 'STARTING', 'WANTED', 'IN FLIGHT', 'QUEUED', 'LIMIT', 'MS'], services) +
    '\n' +
    table(['SUBSCRIPTION', '/S', 'DELIVERED', 'WAITING', 'BACKLOG', 'RETRIES', 'DEAD-LETTERED', 'PARKED', ''], subscriptions)
  )
}
