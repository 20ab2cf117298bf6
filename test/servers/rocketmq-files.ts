import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { settleIn } from './kafka-files.ts'

const run = promisify(execFile)

export const VERSION = '5.5.0'
export const CACHE = fileURLToPath(new URL('../../.cache/rocketmq', import.meta.url))
const POM = fileURLToPath(new URL('rocketmq/pom.xml', import.meta.url))

/** The jars of RocketMQ, from Maven Central through Maven, once a checkout. */
export async function rocketMqJars(): Promise<string> {
  const lib = join(CACHE, VERSION, 'lib')
  if (existsSync(lib) && (await readdir(lib)).length > 100) return lib
  const fresh = join(CACHE, VERSION, `lib.${process.pid}`)
  await mkdir(fresh, { recursive: true })
  await run('mvn', [
    '-q',
    '-B',
    '-f',
    POM,
    `-Drocketmq.version=${VERSION}`,
    'dependency:copy-dependencies',
    '-DincludeScope=runtime',
    `-DoutputDirectory=${fresh}`,
  ])
  await settleIn(fresh, lib)
  return lib
}

export interface TestTopic {
  readonly name: string
  /** NORMAL unless said. */
  readonly type?: 'NORMAL' | 'FIFO' | 'DELAY'
  /** 4 unless said. */
  readonly queues?: number
}

export interface TestGroup {
  readonly name: string
  readonly fifo?: boolean
  /** 16 unless said. */
  readonly retryMaxTimes?: number
}

const DATA_VERSION = { counter: 1, stateVersion: 0, timestamp: 1_700_000_000_000 }

/** What the broker keeps of its topics; written before it starts, as the admin command takes seconds for each. */
export function topicsFile(topics: readonly TestTopic[]): string {
  const table = topics.map(({ name, type = 'NORMAL', queues = 4 }) => [
    name,
    {
      attributes: { 'message.type': type },
      order: false,
      perm: 6,
      readQueueNums: queues,
      topicFilterType: 'SINGLE_TAG',
      topicName: name,
      topicSysFlag: 0,
      writeQueueNums: queues,
    },
  ])
  return JSON.stringify({ dataVersion: DATA_VERSION, topicConfigTable: Object.fromEntries(table) })
}

export function groupsFile(groups: readonly TestGroup[]): string {
  const table = groups.map(({ name, fifo = false, retryMaxTimes = 16 }) => [
    name,
    {
      attributes: {},
      brokerId: 0,
      consumeBroadcastEnable: true,
      consumeEnable: true,
      consumeFromMinEnable: true,
      consumeMessageOrderly: fifo,
      consumeTimeoutMinute: 15,
      groupName: name,
      groupRetryPolicy: { type: 'CUSTOMIZED' },
      groupSysFlag: 0,
      notifyConsumerIdsChangedEnable: true,
      retryMaxTimes,
      retryQueueNums: 1,
      whichBrokerWhenConsumeSlowly: 1,
    },
  ])
  return JSON.stringify({ dataVersion: DATA_VERSION, forbiddenTable: {}, subscriptionGroupTable: Object.fromEntries(table) })
}
