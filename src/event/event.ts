/** What a CloudEvents attribute may hold. URIs and timestamps stay the text they came as. CloudEvents 1.0.2 §2.4 */
export type AttributeValue = string | number | boolean | Uint8Array

/** One extension attribute: lower-case name and value, in the order of arrival. */
export type Extension = readonly [name: string, value: AttributeValue]

/** What travels with an event through the gateway and is no attribute of it: never shown to a subscriber as it stands. */
export interface Envelope {
  /** Passes left before the event counts as looping; 255 where nothing was said (`knativebrokerttl`). */
  readonly ttl: number
  /** How many events of this gateway this one descends from, 0 for one that came from outside. */
  readonly hops: number
  /** W3C trace context as it came, '' when there was none. */
  readonly traceparent: string
  readonly tracestate: string
  /** Headers Knative passes through (`x-request-id`, `knative-*`): name, value, name, value … lower-case names. */
  readonly headers: readonly string[]
  /** What orders `key` deliveries when the event has no `partitionkey`: the record key, '' = none. */
  readonly key: string
  /** Wall clock, ms: when the gateway took the event in. */
  readonly receivedMs: number
  /** The same text for everything that descends from one event, '' for one that has not been passed on yet. */
  readonly root: string
}

/** The attributes and data of one event as plain fields, for the constructor. */
export interface CloudEventFields {
  readonly specversion?: '1.0' | '0.3'
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject?: string | undefined
  readonly time?: string | undefined
  readonly datacontenttype?: string | undefined
  readonly dataschema?: string | undefined
  readonly extensions?: readonly Extension[]
  readonly data?: Uint8Array | null
  readonly envelope?: Envelope
}

export const NEW_ENVELOPE: Envelope = Object.freeze({
  ttl: 255,
  hops: 0,
  traceparent: '',
  tracestate: '',
  headers: [],
  key: '',
  receivedMs: 0,
  root: '',
})

/**
 * One CloudEvent, 0.3 or 1.0, never changed after it was made. `data` is always the bytes that the binary content mode
 * would carry (a JSON event's `data` member is kept as its JSON text), null when the event has none.
 * A class with fixed fields, so that every event on the path has one hidden class.
 */
export class CloudEvent {
  readonly specversion: '1.0' | '0.3'
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject: string | undefined
  /** RFC 3339 text as it came. */
  readonly time: string | undefined
  readonly datacontenttype: string | undefined
  /** `dataschema` of 1.0, `schemaurl` of 0.3. */
  readonly dataschema: string | undefined
  readonly extensions: readonly Extension[]
  readonly data: Uint8Array | null
  readonly envelope: Envelope
  /** The JSON value of `data`, parsed at most once an event however many filters ask; undefined = not parsed yet. */
  parsed: { readonly value: unknown } | { readonly error: string } | undefined = undefined

  constructor(f: CloudEventFields) {
    this.specversion = f.specversion ?? '1.0'
    this.id = f.id
    this.source = f.source
    this.type = f.type
    this.subject = f.subject
    this.time = f.time
    this.datacontenttype = f.datacontenttype
    this.dataschema = f.dataschema
    this.extensions = f.extensions ?? NO_EXTENSIONS
    this.data = f.data ?? null
    this.envelope = f.envelope ?? NEW_ENVELOPE
  }

  /** The attribute of that (lower-case) name, context attribute or extension; undefined when absent. */
  attribute(name: string): AttributeValue | undefined {
    switch (name) {
      case 'type':
        return this.type
      case 'source':
        return this.source
      case 'id':
        return this.id
      case 'subject':
        return this.subject
      case 'time':
        return this.time
      case 'specversion':
        return this.specversion
      case 'datacontenttype':
        return this.datacontenttype
      case 'dataschema':
      case 'schemaurl':
        return name === (this.specversion === '0.3' ? 'schemaurl' : 'dataschema') ? this.dataschema : undefined
      default:
        for (const [n, v] of this.extensions) if (n === name) return v
        return undefined
    }
  }

  /** The same event with some fields replaced; used off the hot path (dead letters, replies, replays). */
  with(change: Partial<CloudEventFields>): CloudEvent {
    return new CloudEvent({ ...this, ...change })
  }
}

const NO_EXTENSIONS: readonly Extension[] = Object.freeze([])
