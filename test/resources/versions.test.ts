import { expect, test } from 'vitest'
import { KINDS } from '../../src/resources/kinds.ts'
import { parseText } from '../../src/resources/load.ts'
import { read } from './planning.ts'
import { SAMPLES } from './samples.ts'

test('the samples hold every kind in every version, and all of it is sound', () => {
  const seen = parseText(SAMPLES, 'm.yaml').documents.map((d) => {
    const { apiVersion, kind } = d.value as { apiVersion: string; kind: string }
    return `${apiVersion} ${kind}`
  })
  const served = KINDS.flatMap((k) => k.apiVersions.map((v) => `${v} ${k.kind}`))
  expect([...new Set(seen)].sort()).toEqual([...served].sort())
  const { texts, plan } = read(SAMPLES)
  expect(texts).toEqual([])
  expect(plan.resources.length).toBe(seen.length)
})
