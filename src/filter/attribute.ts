import type { AttributeValue, CloudEvent } from '../event/event.ts'

/** A fixed field needs no look-up by name: the common attributes are read once an event and trigger. */
const FIELDS: Readonly<Record<string, (e: CloudEvent) => AttributeValue | undefined>> = {
  type: (e) => e.type,
  source: (e) => e.source,
  id: (e) => e.id,
  subject: (e) => e.subject,
  time: (e) => e.time,
  specversion: (e) => e.specversion,
  datacontenttype: (e) => e.datacontenttype,
}

/** Reads one attribute of an event, undefined when it is absent. */
export function attributeReader(name: string): (e: CloudEvent) => AttributeValue | undefined {
  return Object.hasOwn(FIELDS, name) ? FIELDS[name]! : (e) => e.attribute(name)
}

/** The canonical text of an attribute, as every text content mode would carry it. CloudEvents 1.0.2 §2.4 */
export function textOf(value: AttributeValue): string {
  if (typeof value === 'string') return value
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
  return String(value)
}

/** For sentences: the value in quotes, shortened, or `absent`. */
export function shown(value: AttributeValue | undefined): string {
  if (value === undefined) return 'absent'
  const text = textOf(value)
  return `'${text.length > 100 ? `${text.slice(0, 100)}…` : text}'`
}
