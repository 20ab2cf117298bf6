import type { Key } from '../contract/ids.ts'
import type { CloudEvent } from '../event/event.ts'
import type { Destination } from '../ingress/destination.ts'
import type { Tracing } from '../observe/tracing.ts'
import type { Sender } from '../sender/sender.ts'

/** What comes in here gets spans; plain requests pass with the headers they have. */
export function tracedDestination(to: Destination, at: Key, tracing: Tracing): Destination {
  if (to.kind === 'stream') {
    return {
      ...to,
      append(events, done) {
        const taken = events.map((e) => tracing.received(at, e))
        const traced = taken.map((t): CloudEvent => t.event)
        to.append(traced, (r) => {
          const error = r.kind === 'durable' ? '' : 'why' in r ? r.why : r.kind
          for (const t of taken) t.end(error)
          done(r)
        })
      },
    }
  }
  if (to.kind === 'target') {
    return {
      ...to,
      deliver(event, done) {
        const taken = tracing.passed(at, event)
        to.deliver(taken.event, (o) => {
          taken.end('why' in o ? o.why : '')
          done(o)
        })
      },
    }
  }
  return to
}

/** Attempts leave with the context of their own span. */
export function tracedSender(sender: Sender, tracing: Tracing): Sender {
  return { ...sender, send: (path, host, a, c) => sender.send(path, host, tracing.attempt(path, a, c), c) }
}
