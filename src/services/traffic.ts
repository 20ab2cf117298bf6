import type { ServicePlan } from '../contract/plan.ts'

/** Spreads untagged jobs over revisions by percent, evenly at every moment: smooth weighted round robin. */
export interface Traffic {
  /** The revision the next untagged job goes to; '' = the newest that is ready. */
  next(): string
  /** The revision of a tag; undefined = there is no such tag. */
  tagged(tag: string): string | undefined
  /** Whether any entry names it. */
  names(revision: string): boolean
}

export function createTraffic(entries: ServicePlan['traffic']): Traffic {
  const weighted = entries.filter((e) => e.percent > 0).map((e) => ({ revision: e.revision, percent: e.percent, owed: 0 }))
  const total = weighted.reduce((sum, e) => sum + e.percent, 0)
  return {
    next() {
      const [only] = weighted
      if (only === undefined) return ''
      if (weighted.length === 1) return only.revision
      let chosen = only
      for (const entry of weighted) {
        entry.owed += entry.percent
        if (entry.owed > chosen.owed) chosen = entry
      }
      chosen.owed -= total
      return chosen.revision
    },
    tagged: (tag) => entries.find((e) => e.tag === tag)?.revision,
    names: (revision) => entries.some((e) => e.revision === revision),
  }
}
