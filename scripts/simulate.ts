import { parseArgs } from 'node:util'
import { World } from '../test/simulation/world.ts'

/** `node scripts/simulate.ts --seed N`: one simulated run with a trace of what happened; `--seeds N` the first N without. */
const { values } = parseArgs({ options: { seed: { type: 'string' }, seeds: { type: 'string' }, quiet: { type: 'boolean' } } })

const say = (line: string): void => void process.stdout.write(`${line}\n`)

async function one(seed: number, trace: boolean): Promise<boolean> {
  try {
    const outline = await new World(seed, trace ? say : undefined).run()
    say(`seed ${seed}: ${JSON.stringify(outline)}`)
    return true
  } catch (e) {
    say(`seed ${seed} FAILED: ${e instanceof Error ? (e.stack ?? e.message) : String(e)}`)
    return false
  }
}

let failed = 0
if (values.seeds !== undefined) {
  for (let seed = 1; seed <= Number(values.seeds); seed++) if (!(await one(seed, false))) failed++
  say(`${failed} of ${values.seeds} seeds failed`)
} else if (!(await one(Number(values.seed ?? 1), values.quiet !== true))) failed++
process.exitCode = failed > 0 ? 1 : 0
