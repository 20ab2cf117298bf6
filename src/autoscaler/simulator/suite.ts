import type { Scene } from './scene.ts'
import { syntheticScene, SYNTHETIC } from './scenes.ts'
import { sceneFromTrace, type TraceSettings } from './traces.ts'

interface TraceScene extends Omit<TraceSettings, 'seed'> {
  readonly file: string
}

/** The pieces of the published traces that the check plays. */
const TRACES: readonly TraceScene[] = [
  {
    name: 'world-cup',
    file: 'worldcup98-per-minute.csv',
    serviceMs: 400,
    variation: 1,
    limit: 10,
    maxScale: 0,
    // 15 June, the afternoon of two matches.
    fromMinute: 7 * 1440 + 12 * 60,
    minutes: 150,
    scale: 0.1,
  },
  {
    name: 'llm-conv',
    file: 'azure-llm-2023-conv.csv',
    serviceMs: 0,
    variation: 0,
    limit: 4,
    maxScale: 0,
    fromMinute: 0,
    minutes: 60,
    scale: 1,
  },
  {
    name: 'llm-code',
    file: 'azure-llm-2023-code.csv',
    serviceMs: 0,
    variation: 0,
    limit: 2,
    maxScale: 0,
    fromMinute: 0,
    minutes: 60,
    scale: 1,
  },
]

export const SUITE: readonly string[] = [...TRACES.map((t) => t.name), ...SYNTHETIC]

/** A scene of the suite; `readTrace` gives the text of a trace file by its name, null = not there. */
export function suiteScene(name: string, seed: number, readTrace: (file: string) => string | null): Scene | null {
  const trace = TRACES.find((t) => t.name === name)
  if (trace === undefined) return syntheticScene(name, seed)
  const text = readTrace(trace.file)
  return text === null ? null : sceneFromTrace(text, { ...trace, seed })
}
