import type { Observer } from '../contract/observer.ts'
import type { Answer } from './answers.ts'
import type { Bodies } from './body.ts'
import type { CallbackDestination } from './destination.ts'
import { faultRefusal } from './events.ts'
import type { Exchange } from './http-server.ts'

/** Reads a callback whole and lets its handler answer. */
export function takeCallback(bodies: Bodies, observer: Observer, x: Exchange, to: CallbackDestination): void {
  bodies.read(x, to.maxBodyBytes, {
    fault(why): Answer {
      const r = faultRefusal(why, to.maxBodyBytes)
      observer.refused(to.id, r.code)
      return r
    },
    body(bytes) {
      let answered = false
      to.handle({ path: x.path, query: x.query, headers: x.headers, body: bytes }, (status, headers, body) => {
        if (answered) return
        answered = true
        bodies.release(bytes?.length ?? 0)
        x.answer(status, headers, body, false)
      })
    },
  })
}
