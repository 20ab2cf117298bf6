import type { Key } from '../contract/ids.ts'
import type { Distribution } from './histogram.ts'
import type { Recorded } from './recorder.ts'
import type { RevisionNumbers, Snapshot, StreamNumbers, SubscriptionNumbers } from './snapshot.ts'

export type Labels = Readonly<Record<string, string>>

/** One line of values: a number, or a histogram's buckets. */
export interface Row {
  readonly labels: Labels
  readonly value: number | Distribution
}

/** Copies of everything the instruments read from, made in one step: what they show is one instant. */
export interface Readings {
  readonly snapshot: Snapshot
  readonly recorded: Recorded
  readonly process: {
    readonly cpuS: number
    readonly rssBytes: number
    readonly uptimeS: number
    readonly droppedLogLines: number
    readonly loopLagS: number
  }
}

/** One metric. */
export interface Instrument {
  /** Without the `_total` of counters. */
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  /** The section of docs page and dashboard. */
  readonly section: 'ingress' | 'streams' | 'subscriptions' | 'attempts' | 'services' | 'process'
  rows(r: Readings): Iterable<Row>
}

/** What is over so many label sets of one instrument is added up in a row `overflow`. */
export const MOST_LABEL_SETS = 2_000

/** `trigger/default/orders` as labels, the kind's own word first. */
export function keyLabels(key: Key): Labels {
  const first = key.indexOf('/')
  const second = key.indexOf('/', first + 1)
  if (first < 0 || second <= first + 1) return { kind: '', namespace: '', name: key }
  return { kind: key.slice(0, first), namespace: key.slice(first + 1, second), name: key.slice(second + 1) }
}

export const NAMED = ['kind', 'namespace', 'name'] as const

export function ofSubscriptions(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  read: (s: SubscriptionNumbers) => number,
): Instrument {
  return {
    name,
    type,
    help,
    labels: NAMED,
    section: 'subscriptions',
    *rows(r) {
      for (const s of r.snapshot.subscriptions) yield { labels: keyLabels(s.key), value: read(s) }
    },
  }
}

export function ofStreams(name: string, help: string, read: (s: StreamNumbers) => number): Instrument {
  return {
    name,
    type: 'gauge',
    help,
    labels: NAMED,
    section: 'streams',
    *rows(r) {
      for (const s of r.snapshot.streams) yield { labels: keyLabels(s.key), value: read(s) }
    },
  }
}

export function ofRevisions(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  read: (s: RevisionNumbers) => number,
): Instrument {
  return {
    name,
    type,
    help,
    labels: ['namespace', 'service', 'revision'],
    section: 'services',
    *rows(r) {
      for (const s of r.snapshot.services) yield { labels: revisionLabels(s), value: read(s) }
    },
  }
}

export function revisionLabels(s: RevisionNumbers): Labels {
  const { namespace = '', name = '' } = keyLabels(s.key)
  return { namespace, service: name, revision: s.revision }
}

export function ofKeys<V>(
  about: Omit<Instrument, 'rows'>,
  entries: (r: Readings) => Iterable<readonly [Key, V]>,
  read: (v: V) => Iterable<readonly [Labels, number | Distribution]>,
): Instrument {
  return {
    ...about,
    *rows(r) {
      for (const [key, value] of entries(r))
        for (const [labels, v] of read(value)) yield { labels: { ...keyLabels(key), ...labels }, value: v }
    },
  }
}

export function* byLabel(counts: Iterable<readonly [string, number]>, label: string): Iterable<readonly [Labels, number]> {
  for (const [value, n] of counts) yield [{ [label]: value }, n]
}

export function ofProcess(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  read: (p: Readings['process']) => number,
): Instrument {
  return { name, type, help, labels: [], section: 'process', rows: (r) => [{ labels: {}, value: read(r.process) }] }
}
