import { expect, test } from 'vitest'
import { KINDS } from '../../src/resources/kinds.ts'
import { apiVersionsOf, jsonSchemaOf, servedKinds } from '../../src/resources/schema.ts'

interface Json {
  readonly title: string
  readonly required: readonly string[]
  readonly properties: Readonly<Record<string, Json & { const?: string; additionalProperties?: boolean }>>
}

test('every kind has a JSON Schema in every version, which names it and is closed', () => {
  for (const k of KINDS) {
    for (const v of k.apiVersions) {
      const json = jsonSchemaOf(k.kind, v) as Json & { additionalProperties: boolean }
      expect(json.properties['apiVersion']?.const).toBe(v)
      expect(json.properties['kind']?.const).toBe(k.kind)
      expect(json.title).toBe(k.kind)
      expect(json.additionalProperties).toBe(false)
      expect(json.required).toContain('metadata')
    }
  }
})

test('kinds are found as kubectl finds them, the newest version first', () => {
  expect(jsonSchemaOf('triggers', '')).toEqual(jsonSchemaOf('Trigger', 'eventing.knative.dev/v1'))
  expect(jsonSchemaOf('TRIGGER', '')).toEqual(jsonSchemaOf('Trigger', ''))
  expect(jsonSchemaOf('Trigger', 'eventing.knative.dev/v7')).toBeUndefined()
  expect(jsonSchemaOf('Deployment', '')).toBeUndefined()
  expect(apiVersionsOf('eventtype')[0]).toBe('eventing.knative.dev/v1beta3')
  expect(servedKinds().map((k) => k.kind)).toEqual(KINDS.map((k) => k.kind).sort())
})
