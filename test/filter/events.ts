import { type AttributeValue, CloudEvent, type Extension } from '../../src/event/event.ts'

const FIELDS: readonly string[] = [
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'datacontenttype',
  'dataschema',
  'schemaurl',
]

/** An event from its attributes by name, as the suites write them; what is required and missing is filled in. */
export function eventOf(attributes: Readonly<Record<string, unknown>>, data: Uint8Array | null = null): CloudEvent {
  const text = (name: string): string | undefined => attributes[name] as string | undefined
  const extensions = Object.entries(attributes).filter(([name]) => !FIELDS.includes(name)) as unknown as Extension[]
  return new CloudEvent({
    specversion: (text('specversion') ?? '1.0') as '1.0' | '0.3',
    id: text('id') ?? 'id-1',
    source: text('source') ?? '/source',
    type: text('type') ?? 'some.type',
    subject: text('subject'),
    time: text('time'),
    datacontenttype: text('datacontenttype'),
    dataschema: text('dataschema') ?? text('schemaurl'),
    extensions,
    data,
  })
}

/** An event with JSON data. */
export function jsonEvent(data: unknown, attributes: Readonly<Record<string, AttributeValue>> = {}): CloudEvent {
  return eventOf({ datacontenttype: 'application/json', ...attributes }, Buffer.from(JSON.stringify(data)))
}
