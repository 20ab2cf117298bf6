import type { Start } from '../../src/contract/feed.ts'
import { SILENT } from '../../src/contract/observer.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog, SILENT_LOG, type Log } from '../../src/runtime/log.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { Memberships } from '../../src/sources/kafka/memberships.ts'
import type { KafkaSettings } from '../../src/sources/kafka/settings.ts'
import { createKafkaSource, type KafkaSource } from '../../src/sources/kafka/source.ts'
import { RecordingIntake } from './kafka-intake.ts'

export interface RunningSource {
  readonly source: KafkaSource
  readonly intake: RecordingIntake
  /** Log lines so far, parsed. */
  readonly lines: readonly { readonly level: string; readonly message: string; readonly reason?: string }[]
  close(): Promise<void>
}

export type RunOptions = Partial<KafkaSettings> & Pick<KafkaSettings, 'bootstrapServers' | 'topics' | 'consumerGroup'>

/** A source with a recording intake, attached and running. */
export function runSource(
  o: RunOptions,
  prepare: (intake: RecordingIntake) => void = () => {},
  from: Start = { at: 'committed', otherwise: { at: 'latest' } },
  memberships = new Memberships({ stored: '', store() {} }),
): RunningSource {
  const intake = new RecordingIntake()
  prepare(intake)
  const lines: RunningSource['lines'][number][] = []
  const log: Log =
    process.env['TEST_LOG'] === undefined
      ? createLog({ write: (line) => lines.push(JSON.parse(line) as RunningSource['lines'][number]) > 0 }, 'info', () => 0)
      : createLog({ write: (line) => process.stderr.write(line) }, 'debug', () => Date.now())
  const source = createKafkaSource({
    plan: { key: 'source/default/orders', system: 'kafka', namespace: 'default', name: 'orders', settings: {} },
    settings: { initialOffset: 'earliest', namespace: 'default', name: 'orders', heartbeatMs: 300, ...o },
    clock: systemClock,
    random: systemRandom,
    log: log ?? SILENT_LOG,
    observer: SILENT,
    memberships,
  })
  const feed = source.open(intake, new AbortController().signal)
  intake.feed = feed
  feed.attach(1, 'subscription/default/orders', from)
  return { source, intake, lines, close: () => source.close(AbortSignal.timeout(10_000)) }
}
