/**
 * Offsets settled above the committed one, as text in the metadata of the commit, so that whoever takes the partition
 * over does not deliver them again: `s1:` and, for each run, the gap since the one before and its length, both in base
 * 36. Runs are pairs [from, to) in one flat list, ascending and apart.
 */
const MARK = 's1:'

/** Kafka refuses metadata over 4,096 bytes (`offset.metadata.max.bytes`). */
export const MOST_METADATA = 4_000

/** A reader of foreign text trusts no number: a partition holds no more runs than fit the metadata. */
const MOST_RUNS = MOST_METADATA

/** What does not fit is left out from the top: those are delivered again after a take-over. */
export function encodeRuns(committed: number, runs: readonly number[], most: number = MOST_METADATA): string {
  let text = ''
  let last = committed
  for (let i = 0; i + 1 < runs.length; i += 2) {
    const from = runs[i] ?? 0
    const to = runs[i + 1] ?? 0
    const part = `${text === '' ? '' : ','}${(from - last).toString(36)}.${(to - from).toString(36)}`
    if (MARK.length + text.length + part.length > most) break
    text += part
    last = to
  }
  return text === '' ? '' : MARK + text
}

/** Metadata of other clients, or damaged text, is no runs at all: then more is delivered again, never less. */
export function decodeRuns(committed: number, text: string): number[] {
  if (!text.startsWith(MARK)) return []
  const runs: number[] = []
  let last = committed
  for (const part of text.slice(MARK.length).split(',')) {
    const match = /^([0-9a-z]{1,11})\.([0-9a-z]{1,11})$/.exec(part)
    if (match === null || runs.length >= 2 * MOST_RUNS) return []
    const from = last + Number.parseInt(match[1] ?? '', 36)
    const to = from + Number.parseInt(match[2] ?? '', 36)
    // The offset committed is by definition not settled, so the first run cannot begin there.
    if (to <= from || from <= last || !Number.isSafeInteger(to)) return []
    runs.push(from, to)
    last = to
  }
  return runs
}
