import type { BadEvent } from '../../src/event/attributes.ts'
import { isBad } from '../../src/event/attributes.ts'
import type { AttributeValue } from '../../src/event/event.ts'
import { CloudEvent } from '../../src/event/event.ts'

/** The sample events of the suite's README, in code as it asks. */
const minimal = { id: 'minimal', type: 'io.cloudevents.test', source: 'https://cloudevents.io' }
const allCore = new CloudEvent({
  ...minimal,
  id: 'allCore',
  datacontenttype: 'text/plain',
  dataschema: 'https://cloudevents.io/dataschema',
  subject: 'tests',
  time: '2018-04-05T17:31:00Z',
})
const allExtensionTypes = new CloudEvent({
  ...minimal,
  id: 'allExtensionTypes',
  extensions: [
    ['extinteger', 10],
    ['extboolean', true],
    ['extstring', 'text'],
    ['extbinary', Uint8Array.of(77, 97)],
    ['exttimestamp', '2023-03-31T15:12:00Z'],
    ['exturi', 'https://cloudevents.io'],
    ['exturiref', '//authority/path'],
  ],
})

const GOLDEN_EVENTS: Readonly<Record<string, CloudEvent>> = {
  minimal: new CloudEvent(minimal),
  minimalWithTime: new CloudEvent({ ...minimal, id: 'minimalWithTime', time: '2018-04-05T17:31:00Z' }),
  minimalWithRelativeSource: new CloudEvent({ ...minimal, id: 'minimalWithRelativeSource', source: '#fragment' }),
  allCore,
  // The README writes the id "simpleData"; every data file has "simpleTextData".
  simpleTextData: new CloudEvent({
    ...minimal,
    id: 'simpleTextData',
    datacontenttype: 'text/plain',
    data: Buffer.from('Simple text'),
  }),
  allExtensionTypes,
}

const GOLDEN_BATCHES: Readonly<Record<string, readonly CloudEvent[]>> = {
  empty: [],
  minimal: [new CloudEvent(minimal)],
  minimal2: [new CloudEvent(minimal), new CloudEvent(minimal)],
  minimalAndAllCore: [new CloudEvent(minimal), allCore],
  minimalAndAllExtensionTypes: [new CloudEvent(minimal), allExtensionTypes],
}

/**
 * What counts when events are compared, as the README means it: timestamps as instants, and binary as its base64, because
 * not every format carries types. `refused` stands for no event.
 */
export function seen(result: CloudEvent | readonly CloudEvent[] | BadEvent): unknown {
  if (isBad(result)) return 'refused'
  return (result instanceof CloudEvent ? [result] : result).map(comparable)
}

/** What a row wants, by the id of its sample; none = it has to be refused. */
export function wanted(sampleId: string | undefined, kind: 'event' | 'batch'): unknown {
  if (sampleId === undefined) return 'refused'
  const golden = kind === 'event' ? GOLDEN_EVENTS[sampleId] : GOLDEN_BATCHES[sampleId]
  if (golden === undefined) throw new Error(`no sample ${sampleId}`)
  return seen(golden)
}

function comparable(e: CloudEvent): unknown {
  const { time, data, extensions, envelope: _, parsed: __, ...rest } = e
  return {
    ...rest,
    instant: time === undefined ? undefined : Date.parse(time),
    data: data === null ? null : Buffer.from(data).toString(),
    extensions: Object.fromEntries(extensions.map(([name, value]) => [name, valueOf(value)])),
  }
}

function valueOf(value: AttributeValue): AttributeValue {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value
}
