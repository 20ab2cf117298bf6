import type { Start } from '../contract/feed.ts'
import type { Clock } from '../runtime/clock.ts'
import { Fault } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Secret } from '../runtime/secret.ts'
import { CONTENT_TYPES, renderExposition } from './exposition.ts'
import { openAdminServer, type AdminAnswer, type AdminCall, type AdminRoute } from './http-server.ts'
import type { Operations, ParkedReplay } from './operations.ts'

export interface AdminParts {
  readonly operations: Operations
  readonly clock: Clock
  readonly log: Log
  readonly host: string
  readonly port: number
  readonly token: Secret
  readonly readsNeedToken: boolean
  readonly hosts: readonly string[]
  /** The console page at `/`. */
  readonly page: string
  /** Routes of other rooms (explain, tail, callbacks of tests). */
  readonly more?: readonly AdminRoute[]
}

/** The admin port: probes, metrics, and the API that the command line talks to. */
export function openAdmin(parts: AdminParts): Promise<{ readonly url: string; close(): Promise<void> }> {
  const { operations } = parts
  return openAdminServer({
    ...parts,
    routes: [...probes(parts), ...reads(operations, parts.clock), ...writes(operations), ...(parts.more ?? [])],
  })
}

function probes({ operations, clock, page }: AdminParts): AdminRoute[] {
  return [
    { method: 'GET', path: '/', access: 'open', handle: () => ({ text: page, contentType: 'text/html; charset=utf-8' }) },
    { method: 'GET', path: '/healthz', access: 'open', handle: () => ({ text: 'ok\n', contentType: 'text/plain' }) },
    {
      method: 'GET',
      path: '/readyz',
      access: 'open',
      handle() {
        const state = operations.ready()
        return { status: state.ready ? 200 : 503, json: state }
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      access: 'open',
      handle(call) {
        const format = call.accept.includes('application/openmetrics-text') ? 'openmetrics' : 'prometheus'
        return { lines: renderExposition(operations.readings(), format, clock), contentType: CONTENT_TYPES[format] }
      },
    },
  ]
}

function reads(operations: Operations, clock: Clock): AdminRoute[] {
  const get = (path: string, handle: (call: AdminCall) => AdminAnswer, access: 'read' | 'write' = 'read'): AdminRoute => ({
    method: 'GET',
    path,
    access,
    handle,
  })
  return [
    get('/api/v1/plan', () => ({ json: operations.plan() })),
    // Who reads it again and again tells a new snapshot from an old one by its time.
    get('/api/v1/snapshot', () => ({ json: { atMs: clock.wall(), ...operations.snapshot() } })),
    get('/api/v1/resources', (c) => ({ json: { items: operations.resources(c.query.get('kind') ?? '') } })),
    get('/api/v1/resources/:kind/:namespace/:name', ({ params }) =>
      found(operations.resource(params['kind'] ?? '', params['namespace'] ?? '', params['name'] ?? '')),
    ),
    get('/api/v1/services/:namespace/:name', (c) => found(operations.service(serviceKey(c)))),
    get('/api/v1/services/:namespace/:name/decisions', (c) => ({ json: { items: operations.decisions(serviceKey(c)) } })),
    get('/api/v1/dlq', () => ({ json: { items: operations.parkedKeys() } })),
    // Event bodies may be secret: reading them takes the token, like a write.
    get(
      '/api/v1/dlq/:kind/:namespace/:name',
      (c) => ({
        json: {
          items: operations.parkedList(keyOf(c), c.query.get('after') ?? '', Math.min(1_000, Number(c.query.get('most') ?? 100))),
        },
      }),
      'write',
    ),
    get('/api/v1/dlq/:kind/:namespace/:name/:id', (c) => found(operations.parkedGet(keyOf(c), c.params['id'] ?? '')), 'write'),
  ]
}

function writes(operations: Operations): AdminRoute[] {
  const post = (path: string, handle: (call: AdminCall) => AdminAnswer | Promise<AdminAnswer>): AdminRoute => ({
    method: 'POST',
    path,
    access: 'write',
    handle,
  })
  return [
    post('/api/v1/dlq/:kind/:namespace/:name/replay', async (c) => ({
      json: await operations.parkedReplay(keyOf(c), replayOf(c.body)),
    })),
    post('/api/v1/dlq/:kind/:namespace/:name/purge', async (c) => {
      const ids = fieldOf(c.body, 'ids')
      return { json: { purged: await operations.parkedPurge(keyOf(c), Array.isArray(ids) ? ids.map(String) : 'all') } }
    }),
    post('/api/v1/subscriptions/:kind/:namespace/:name/pause', (c) => ({
      json: { paused: true, ...operations.pause(keyOf(c)) },
    })),
    post('/api/v1/subscriptions/:kind/:namespace/:name/resume', (c) => ({
      json: { paused: false, ...operations.resume(keyOf(c)) },
    })),
    post('/api/v1/subscriptions/:kind/:namespace/:name/replay', async (c) => ({
      json: await operations.replay(keyOf(c), startOf(fieldOf(c.body, 'from')), fieldOf(c.body, 'rewind') === true),
    })),
    post('/api/v1/subscriptions/:kind/:namespace/:name/skip', async (c) => ({ json: await operations.skip(keyOf(c)) })),
    post('/api/v1/subscriptions/:kind/:namespace/:name/purge', async (c) => {
      await operations.purge(keyOf(c))
      return { json: { purged: true } }
    }),
    post('/api/v1/services/:namespace/:name/scale', (c) => {
      const { desired, leaseMs, reason } = scaleOf(c.body)
      operations.scale(serviceKey(c), desired, leaseMs, reason)
      return { json: { desired, leaseMs } }
    }),
    post('/api/v1/reload', async () => {
      const result = await operations.reload()
      return { status: result.faults.length > 0 ? 400 : 200, json: result }
    }),
  ]
}

function keyOf(c: AdminCall): string {
  return `${c.params['kind']}/${c.params['namespace']}/${c.params['name']}`
}

function serviceKey(c: AdminCall): string {
  return `service/${c.params['namespace']}/${c.params['name']}`
}

function found(value: unknown): AdminAnswer {
  if (value === undefined)
    throw new Fault('admin.not-found', 'there is no such thing in the plan; "sluice get" lists what there is')
  return { json: value }
}

function fieldOf(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined
}

function replayOf(body: unknown): ParkedReplay {
  const ids = fieldOf(body, 'ids')
  const rate = Number(fieldOf(body, 'rate') ?? 0)
  if (!(rate >= 0))
    throw new Fault(
      'admin.refused',
      `rate is ${String(fieldOf(body, 'rate'))}; it must be a number of events a second, 0 = no limit`,
    )
  return {
    where: textOf(fieldOf(body, 'where')),
    ratePerS: rate,
    to: textOf(fieldOf(body, 'to')),
    dryRun: fieldOf(body, 'dryRun') === true,
    ids: Array.isArray(ids) ? ids.map(String) : [],
  }
}

const MOST_PODS = 100_000
const DEFAULT_LEASE_MS = 15_000
const LONGEST_LEASE_MS = 3_600_000

function scaleOf(body: unknown): { desired: number; leaseMs: number; reason: string } {
  const desired = fieldOf(body, 'desired')
  if (!Number.isInteger(desired) || Number(desired) < 0 || Number(desired) > MOST_PODS)
    throw new Fault('admin.refused', `desired is ${JSON.stringify(desired)}; it must be a whole number from 0 to ${MOST_PODS}`)
  const leaseMs = fieldOf(body, 'leaseMs') ?? DEFAULT_LEASE_MS
  if (!(Number(leaseMs) >= 1) || Number(leaseMs) > LONGEST_LEASE_MS)
    throw new Fault('admin.refused', `leaseMs is ${JSON.stringify(leaseMs)}; it must be from 1 to ${LONGEST_LEASE_MS}`)
  return { desired: Number(desired), leaseMs: Number(leaseMs), reason: textOf(fieldOf(body, 'reason')) || 'no reason was given' }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** `earliest`, `latest`, `position:N`, or a time (RFC 3339). */
export function startOf(value: unknown): Start {
  const text = typeof value === 'number' ? `position:${value}` : textOf(value)
  if (text === 'earliest' || text === 'latest') return { at: text }
  const position = /^position:(\d+)$/.exec(text)
  if (position !== null) return { at: 'position', position: Number(position[1]) }
  const timeMs = Date.parse(text)
  if (Number.isNaN(timeMs))
    throw new Fault(
      'admin.refused',
      `from is "${text}"; allowed are earliest, latest, position:N and a time such as 2026-01-31T12:00:00Z`,
    )
  return { at: 'time', timeMs }
}
