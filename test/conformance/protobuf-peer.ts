import { createFileRegistry, fromBinary, fromJson, toBinary, toJson } from '@bufbuild/protobuf'
import type { DescMessage, JsonValue } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema, file_google_protobuf_any, file_google_protobuf_timestamp } from '@bufbuild/protobuf/wkt'

/** A field as protoc describes it; `more` adds the type's name, the oneof, or that it is repeated. */
function field(name: string, number: number, type: string, more: Record<string, JsonValue> = {}): JsonValue {
  const jsonName = name.replace(/_(.)/g, (_, c: string) => c.toUpperCase())
  return { name, number, jsonName, type: `TYPE_${type}`, label: 'LABEL_OPTIONAL', ...more }
}

const ONE_OF = { oneofIndex: 0 }
const CLOUD_EVENT = '.io.cloudevents.v1.CloudEvent'

/** `cloudevents.proto` of the specification as a descriptor, so that an independent library writes the bytes we read. */
const file = fromJson(FileDescriptorProtoSchema, {
  name: 'cloudevents.proto',
  package: 'io.cloudevents.v1',
  syntax: 'proto3',
  dependency: ['google/protobuf/any.proto', 'google/protobuf/timestamp.proto'],
  messageType: [
    {
      name: 'CloudEvent',
      oneofDecl: [{ name: 'data' }],
      field: [
        field('id', 1, 'STRING'),
        field('source', 2, 'STRING'),
        field('spec_version', 3, 'STRING'),
        field('type', 4, 'STRING'),
        field('attributes', 5, 'MESSAGE', { label: 'LABEL_REPEATED', typeName: `${CLOUD_EVENT}.AttributesEntry` }),
        field('binary_data', 6, 'BYTES', ONE_OF),
        field('text_data', 7, 'STRING', ONE_OF),
        field('proto_data', 8, 'MESSAGE', { ...ONE_OF, typeName: '.google.protobuf.Any' }),
      ],
      nestedType: [
        {
          name: 'AttributesEntry',
          options: { mapEntry: true },
          field: [
            field('key', 1, 'STRING'),
            field('value', 2, 'MESSAGE', { typeName: `${CLOUD_EVENT}.CloudEventAttributeValue` }),
          ],
        },
        {
          name: 'CloudEventAttributeValue',
          oneofDecl: [{ name: 'attr' }],
          field: [
            field('ce_boolean', 1, 'BOOL', ONE_OF),
            field('ce_integer', 2, 'INT32', ONE_OF),
            field('ce_string', 3, 'STRING', ONE_OF),
            field('ce_bytes', 4, 'BYTES', ONE_OF),
            field('ce_uri', 5, 'STRING', ONE_OF),
            field('ce_uri_ref', 6, 'STRING', ONE_OF),
            field('ce_timestamp', 7, 'MESSAGE', { ...ONE_OF, typeName: '.google.protobuf.Timestamp' }),
          ],
        },
      ],
    },
    {
      name: 'CloudEventBatch',
      field: [field('events', 1, 'MESSAGE', { label: 'LABEL_REPEATED', typeName: CLOUD_EVENT })],
    },
  ],
})

const registry = createFileRegistry(file, (name) =>
  name === 'google/protobuf/any.proto' ? file_google_protobuf_any : file_google_protobuf_timestamp,
)

function message(name: string): DescMessage {
  const found = registry.getMessage(`io.cloudevents.v1.${name}`)
  if (found === undefined) throw new Error(`no message ${name}`)
  return found
}

export const EVENT = message('CloudEvent')
export const BATCH = message('CloudEventBatch')

/** The protobuf bytes of a message given in protobuf's JSON form. */
export function peerBytes(kind: DescMessage, json: JsonValue): Uint8Array {
  return toBinary(kind, fromJson(kind, json, { registry }))
}

/** The same message as another library reads it from our bytes, in protobuf's JSON form. */
export function peerJson(kind: DescMessage, encoded: Uint8Array): JsonValue {
  return toJson(kind, fromBinary(kind, encoded), { registry })
}
