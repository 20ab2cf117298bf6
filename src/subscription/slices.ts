import type { CloudEvent } from '../event/event.ts'
import type { LaneTable } from './lane-table.ts'

/** Data that waits longer than this gets memory of its own: a slice keeps all of the big buffer it was read into. */
export const SLICE_KEPT_MS = 1_000

/** Up to this share of unused bytes the buffer is as good as its own. */
const WASTE_MOST = 2

/** Copies the data of what was offered before `beforeMs` out of bigger buffers. The event stays the same in value. */
export function ownSlices(table: LaneTable, beforeMs: number): void {
  for (const lane of table.lanes()) {
    // Newest first: behind the first that has been looked at there are only others that have.
    for (let w = lane.last; w !== null && !w.ownsData; w = w.before) {
      if (w.offeredMs > beforeMs) continue
      w.ownsData = true
      own(w.d.event)
    }
  }
}

function own(event: CloudEvent): void {
  const { data } = event
  if (data === null || data.buffer.byteLength <= data.byteLength * WASTE_MOST) return
  ;(event as { data: Uint8Array | null }).data = new Uint8Array(data)
}
