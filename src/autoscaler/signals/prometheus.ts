import type { Key } from '../../contract/ids.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import { NO_LOAD } from './reading.ts'
import type { Heard, Signals } from './signals.ts'

/** One number of Prometheus and when it was made, s; or a sentence why there is none. */
export type QueryAnswer = { readonly atS: number; readonly value: number } | string

interface Memory {
  readonly query: string
  busy: boolean
  atS: number
  value: number | null
  samples: number
  heardMs: number
  trouble: string
}

/** The load of each Service as one number of PromQL: slots wanted now. */
export function querySignals(
  queries: ReadonlyMap<Key, string>,
  ask: (query: string, signal: AbortSignal) => Promise<QueryAnswer>,
  silentMs: number,
  clock: Clock,
): Signals {
  const gone = new AbortController()
  const begunMs = clock.now()
  const memories = new Map<Key, Memory>(
    [...queries].map(([key, query]) => [
      key,
      { query, busy: false, atS: -Infinity, value: null, samples: 0, heardMs: -Infinity, trouble: '' },
    ]),
  )
  const look = async (memory: Memory): Promise<void> => {
    memory.busy = true
    try {
      const answer = await ask(memory.query, gone.signal)
      memory.trouble = typeof answer === 'string' ? answer : ''
      if (typeof answer === 'string' || !(answer.atS > memory.atS)) return
      memory.atS = answer.atS
      memory.value = answer.value
      memory.samples++
      memory.heardMs = clock.now()
    } catch (e) {
      memory.trouble = messageOf(e)
    } finally {
      memory.busy = false
    }
  }
  return {
    poll() {
      for (const memory of memories.values()) if (!memory.busy) void look(memory)
    },
    heard(key): Heard {
      const memory = memories.get(key)
      if (memory === undefined) return { load: null, samples: 0, missing: 'it has no query' }
      const silentForMs = clock.now() - Math.max(memory.heardMs, begunMs)
      const why = memory.trouble === '' ? '' : ` (${memory.trouble})`
      const missing =
        memory.trouble !== '' || silentForMs > silentMs
          ? `Prometheus has given no number for ${Math.round(silentForMs / 1000)} s${why}`
          : ''
      const load = memory.value === null ? null : { ...NO_LOAD, inFlight: memory.value }
      return { load, samples: memory.samples, missing }
    },
    close: () => gone.abort(),
  }
}

/** An answer of `/api/v1/query`: a scalar, or a vector of one. */
export function answerFrom(body: unknown): QueryAnswer {
  const { status, error, data } = (body ?? {}) as {
    status?: unknown
    error?: unknown
    data?: { resultType?: unknown; result?: unknown }
  }
  if (status !== 'success') return `the query failed: ${typeof error === 'string' ? error : 'no answer of Prometheus'}`
  const result: unknown[] = Array.isArray(data?.result) ? data.result : []
  if (data?.resultType === 'scalar') return numberFrom(result)
  if (data?.resultType !== 'vector') return `the query gives a ${String(data?.resultType)}; it must give one number`
  if (result.length === 0) return 'the query gives nothing'
  if (result.length > 1) return `the query gives ${result.length} series; it must give one: wrap it in sum(…)`
  return numberFrom((result[0] as { value?: unknown }).value)
}

function numberFrom(pair: unknown): QueryAnswer {
  const [atS, text] = Array.isArray(pair) ? (pair as unknown[]) : []
  const value = typeof text === 'string' ? Number(text) : Number.NaN
  if (typeof atS !== 'number' || !Number.isFinite(atS)) return 'the answer has no time'
  if (!Number.isFinite(value) || value < 0) return `the query gives ${String(text)}, which is no load`
  return { atS, value }
}
