import type { ClauseResult } from '../contract/filter.ts'
import type { Key } from '../contract/ids.ts'
import { Fault } from '../runtime/errors.ts'
import type { AdminRoute } from './http-server.ts'

/** What happened to one event, as `sluice explain` tells it. Times are RFC 3339. */
export interface EventStory {
  readonly event: Readonly<Record<string, unknown>>
  readonly streams: readonly { readonly stream: Key; readonly at: string }[]
  /** Times it came again within the dedup window. */
  readonly repeats: number
  readonly subscriptions: readonly SubscriptionStory[]
}

export interface SubscriptionStory {
  readonly subscription: Key
  readonly matched: boolean
  /** By the filter as it is now. */
  readonly clauses: readonly ClauseResult[]
  /** One sentence. */
  readonly now: string
  readonly attempts: readonly {
    readonly attempt: number
    readonly at: string
    readonly waitedMs: number
    readonly tookMs: number
    readonly target: Key
    readonly pod: string
    readonly outcome: string
    readonly status: number
    readonly why: string
  }[]
  readonly replies: readonly string[]
  readonly note: string
}

/** Looking at single events. */
export interface Watch {
  /** Throws `admin.not-found` with the reasons there can be. */
  explain(id: string): readonly EventStory[]
  /** Live events of a resource; `where` is CESQL, '' = all. */
  follow(kind: string, namespace: string, name: string, where: string, signal: AbortSignal): AsyncIterable<string>
}

/** Both show what is in events: they take the token, like a write. */
export function watchRoutes(watch: Watch): AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/api/v1/events/:id',
      access: 'write',
      handle: ({ params }) => ({ json: { items: watch.explain(params['id'] ?? '') } }),
    },
    {
      method: 'GET',
      path: '/api/v1/tail/:kind/:namespace/:name',
      access: 'write',
      handle({ params, query, signal }) {
        const { kind, namespace, name } = params
        if (kind === undefined || namespace === undefined || name === undefined)
          throw new Fault('admin.not-found', 'tail takes KIND/NAMESPACE/NAME')
        const lines = watch.follow(kind, namespace, name, query.get('where') ?? '', signal)
        return { lines, contentType: 'application/x-ndjson' }
      },
    },
  ]
}
