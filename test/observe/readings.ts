import type { Readings } from '../../src/observe/instrument.ts'

/** Readings of a gateway that has nothing and did nothing. */
export function emptyReadings(): Readings {
  return {
    snapshot: { subscriptions: [], streams: [], services: [] },
    recorded: {
      ingresses: [],
      appended: [],
      attempts: [],
      endToEnd: [],
      filterFailures: [],
      undecodable: [],
      loops: [],
      replies: [],
      proxied: [],
      podChanges: [],
    },
    process: { cpuS: 0, rssBytes: 0, uptimeS: 0, droppedLogLines: 0, loopLagS: 0 },
  }
}
