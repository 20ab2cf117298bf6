import { expect, test } from 'vitest'
import { annotation, checkAnnotations } from '../../src/resources/annotations.ts'

const faults = (kind: string, annotations: Record<string, string>): string[] => {
  const found: string[] = []
  checkAnnotations(kind, annotations, [], (path, message) => found.push(`${path.join('.')}: ${message}`))
  return found
}

test('what sluice autoscale reads from a Service is checked like everything else', () => {
  const good = { 'sluice.dev/query': 'sum(rate(x[1m]))', 'sluice.dev/deployment': 'worker-v2' }
  expect(faults('Service', good)).toEqual([])
  expect(annotation(good, 'sluice.dev/query')).toBe('sum(rate(x[1m]))')
  expect(annotation(good, 'sluice.dev/deployment')).toBe('worker-v2')
  expect(faults('Service', { 'sluice.dev/query': ' ' })[0]).toMatch(/must be a PromQL query/)
  expect(faults('Service', { 'sluice.dev/deployment': 'Not A Name' })[0]).toMatch(/must be the name of a Deployment/)
  expect(faults('Broker', good)).toHaveLength(2)
})
