import { expect, test } from 'vitest'
import { World } from './world.ts'

const SEEDS = 200

/** Nothing lost, one end a delivery, no pod over its limit, no position past an unsettled event, the account balances. */
test(`holds its promises through ${SEEDS} seeds of faults; node scripts/simulate.ts --seed N shows one`, async () => {
  const sums = { events: 0, lives: 0, delivered: 0, deadLettered: 0, parked: 0, detached: 0, handedBack: 0 }
  const broken: string[] = []
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      const outline = await new World(seed).run()
      for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += outline[key]
    } catch (e) {
      broken.push(`seed ${seed}: ${String(e)}`)
    }
  }
  console.log(`${SEEDS} seeds: ${JSON.stringify(sums)}`)
  expect(broken).toEqual([])
  // A simulation in which nothing happens proves nothing.
  for (const n of Object.values(sums)) expect(n).toBeGreaterThan(SEEDS / 2)
  expect(sums.lives).toBeGreaterThan(SEEDS)
}, 120_000)

test('a seed tells the same story twice', async () => {
  const tell = async (): Promise<string[]> => {
    const lines: string[] = []
    const outline = await new World(42, (line) => lines.push(line)).run()
    return [...lines, JSON.stringify(outline)]
  }
  const first = await tell()
  expect(first.length).toBeGreaterThan(20)
  expect(await tell()).toEqual(first)
})
