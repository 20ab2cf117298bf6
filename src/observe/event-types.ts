import type { Key } from '../contract/ids.ts'
import type { Names } from '../contract/names.ts'
import { SILENT, type Observer } from '../contract/observer.ts'
import type { CloudEvent } from '../event/event.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { AdminRoute } from './http-server.ts'

/** Pairs of type and source that are remembered of one stream. */
const MOST_PER_STREAM = 1_000
/** Of all streams together. */
const MOST_BYTES = 1 << 20
/** Type, source and schema of one; a longer one is left out. */
const LONGEST = 1_024
/** Changes gather for so long before they are stored. ms */
const SAVE_AFTER_MS = 1_000

/** A kind of event that has come by. Wall-clock ms. */
export interface FoundType {
  readonly stream: Key
  readonly type: string
  readonly source: string
  /** `dataschema`, '' = none. */
  readonly schema: string
  readonly firstMs: number
}

export interface EventTypesParts {
  readonly names: Names
  readonly clock: Clock
  readonly log: Log
  /** What an earlier process stored, '' = nothing. */
  readonly stored: string
  readonly store: (text: string) => void
}

/** What events there are, found where they are stored: at the ingress, in replies, from sources. Knative `eventtype-auto-create` */
export interface EventTypes {
  readonly observer: Observer
  /** From now on these streams are watched; what was found elsewhere stays known. */
  watch(streams: ReadonlySet<Key>): void
  found(): readonly FoundType[]
  /** Types that were left out because there were too many, by stream. */
  leftOut(): ReadonlyMap<Key, number>
  /** Stores what has not been stored yet. */
  close(): void
}

/** `GET /api/v1/eventtypes` */
export function eventTypesRoute(list: () => unknown): AdminRoute {
  return { method: 'GET', path: '/api/v1/eventtypes', access: 'read', handle: () => ({ json: list() }) }
}

export function createEventTypes(p: EventTypesParts): EventTypes {
  return new Registry(p)
}

interface StreamTypes {
  readonly key: Key
  watched: boolean
  readonly found: Map<string, FoundType>
  /** What came last, as most events are of the kind of the one before. */
  lastType: string
  lastSource: string
  leftOut: number
}

class Registry implements EventTypes {
  readonly observer: Observer
  readonly #p: EventTypesParts
  readonly #streams = new Map<Key, StreamTypes>()
  readonly #byId: (StreamTypes | undefined)[] = []
  #watching = false
  #bytes = 0
  #saving: Timer | null = null

  constructor(p: EventTypesParts) {
    this.#p = p
    for (const f of readFound(p.stored)) this.#add(this.#of(f.stream), f)
    this.observer = {
      ...SILENT,
      appended: (id, _events, _bytes, _ms, what) => {
        if (!this.#watching) return
        const stream = (this.#byId[id] ??= this.#of(p.names.stream(id)))
        if (stream.watched) for (const event of what) this.#saw(stream, event)
      },
    }
  }

  watch(streams: ReadonlySet<Key>): void {
    this.#watching = streams.size > 0
    for (const key of streams) this.#of(key)
    for (const s of this.#streams.values()) s.watched = streams.has(s.key)
  }

  found(): readonly FoundType[] {
    return [...this.#streams.values()].flatMap((s) => [...s.found.values()])
  }

  leftOut(): ReadonlyMap<Key, number> {
    return new Map([...this.#streams.values()].filter((s) => s.leftOut > 0).map((s) => [s.key, s.leftOut]))
  }

  close(): void {
    if (this.#saving === null) return
    this.#saving.cancel()
    this.#save()
  }

  #of(key: Key): StreamTypes {
    let s = this.#streams.get(key)
    if (s === undefined) {
      s = { key, watched: false, found: new Map(), lastType: '', lastSource: '', leftOut: 0 }
      this.#streams.set(key, s)
    }
    return s
  }

  #saw(s: StreamTypes, event: CloudEvent): void {
    const { type, source } = event
    if (type === s.lastType && source === s.lastSource) return
    s.lastType = type
    s.lastSource = source
    if (s.found.has(nameOf(type, source))) return
    const f = { stream: s.key, type, source, schema: event.dataschema ?? '', firstMs: this.#p.clock.wall() }
    if (!this.#add(s, f)) return
    this.#saving ??= this.#p.clock.after(SAVE_AFTER_MS, () => this.#save())
  }

  /** false = there are too many, or it is too long. */
  #add(s: StreamTypes, f: FoundType): boolean {
    const bytes = f.type.length + f.source.length + f.schema.length
    if (s.found.size >= MOST_PER_STREAM || bytes > LONGEST || this.#bytes + bytes > MOST_BYTES) {
      if (s.leftOut++ === 0) {
        const remedy = 'a producer may be putting ids into the type or source of its events'
        this.#p.log.warn(`there are too many event types to be listed: ${remedy}`, { stream: f.stream, types: s.found.size })
      }
      return false
    }
    this.#bytes += bytes
    s.found.set(nameOf(f.type, f.source), f)
    return true
  }

  #save(): void {
    this.#saving = null
    this.#p.store(JSON.stringify({ found: this.found() }))
  }
}

function nameOf(type: string, source: string): string {
  return `${type}\n${source}`
}

/** What can be read of it: the list can be found anew, so nothing here is worth a failed start. */
function readFound(text: string): FoundType[] {
  if (text === '') return []
  try {
    const { found } = JSON.parse(text) as { found?: unknown }
    return Array.isArray(found) ? found.filter(isFound) : []
  } catch {
    return []
  }
}

function isFound(f: unknown): f is FoundType {
  const o = (typeof f === 'object' && f !== null ? f : {}) as Readonly<Record<string, unknown>>
  return ['stream', 'type', 'source', 'schema'].every((name) => typeof o[name] === 'string') && typeof o['firstMs'] === 'number'
}
