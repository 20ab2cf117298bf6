import type { LaneId } from '../../contract/ids.ts'
import { decodeRuns } from '../../sources/kafka/settled-runs.ts'
import type { StartOffset, StartParts } from '../../sources/kafka/starts.ts'
import { readCommitted } from '../../vendor/kafka/calls.ts'
import { CODE, codeName } from '../../vendor/kafka/codes.ts'
import type { BrokerAddress } from '../../vendor/kafka/link.ts'

/**
 * Where a replay ends in a partition travels in the metadata of its own group's offsets, so that any gateway can read on:
 * `u<end>.<begun>;` in base 36 before the settled runs. `begun` tells one replay from an older one of its name.
 */
export function encodeEnd(end: number, begunMs: number, runs: string): string {
  return `u${end.toString(36)}.${begunMs.toString(36)};${runs}`
}

/** null = foreign or damaged text. */
export function decodeEnd(text: string): { readonly end: number; readonly begunMs: number; readonly runs: string } | null {
  const match = /^u([0-9a-z]{1,11})\.([0-9a-z]{1,11});(.*)$/.exec(text)
  if (match === null) return null
  const end = Number.parseInt(match[1] ?? '', 36)
  const begunMs = Number.parseInt(match[2] ?? '', 36)
  return Number.isSafeInteger(end) && Number.isSafeInteger(begunMs) ? { end, begunMs, runs: match[3] ?? '' } : null
}

/** A partition of a replay as its group has it. */
export interface ReplayStart extends StartOffset {
  /** The first offset that is not its business. */
  readonly end: number
}

/** Every partition that a replay has; none = it is over, or has not begun. `begunMs` 0 = whatever stands under that name. */
export async function replayStarts(
  o: StartParts,
  at: BrokerAddress,
  group: string,
  begunMs: number,
): Promise<readonly ReplayStart[]> {
  const topic = o.options.topics[0] ?? ''
  const partitions = o.cluster.topic(topic)?.partitions.map((_, i) => i) ?? []
  const { code, offsets } = await readCommitted(o.link, at, group, [{ topic, partitions }])
  const bad = [code, ...offsets.map((c) => c.code)].find((c) => c !== CODE.none)
  if (bad !== undefined) throw new Error(`offsets of group ${group} cannot be read: ${codeName(bad)}`)
  return offsets.flatMap(({ partition, offset, metadata }) => {
    const found = offset < 0 ? null : decodeEnd(metadata)
    if (found === null || (begunMs !== 0 && found.begunMs !== begunMs)) return []
    const lane: LaneId = o.lanes.of(topic, partition)
    return [{ lane, offset, settled: decodeRuns(offset, found.runs), text: metadata, end: found.end }]
  })
}
