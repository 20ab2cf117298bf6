import { expect, test } from 'vitest'
import { renderExposition } from '../../src/observe/exposition.ts'
import { parseExposition } from './exposition-parser.ts'
import { emptyReadings } from './readings.ts'

test('what an end-to-end run cannot cause is shown from its numbers', async () => {
  const empty = emptyReadings()
  const readings = {
    ...empty,
    recorded: { ...empty.recorded, undecodable: [['trigger/ns/orders', 3]] as const },
    process: { ...empty.process, droppedLogLines: 7 },
  }
  let text = ''
  for await (const slice of renderExposition(readings, 'prometheus', { now: () => 0, soon: setImmediate })) text += slice
  const e = parseExposition(text)
  expect(e.all('sluice_subscription_undecodable_total')).toEqual([
    { name: 'sluice_subscription_undecodable_total', labels: { kind: 'trigger', namespace: 'ns', name: 'orders' }, value: 3 },
  ])
  expect(e.sum('sluice_log_lines_dropped_total')).toBe(7)
})
