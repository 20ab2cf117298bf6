import { describe, expect, test } from 'vitest'
import type { Source } from '../../../src/contract/feed.ts'
import type { Complaint } from '../../../src/sources/queue/health.ts'
import { queueSource } from '../../../src/sources/queue/source.ts'
import { ServerDouble, SystemDouble } from '../../streams/queue/double.ts'
import { RecordingIntake } from '../../streams/recording-intake.ts'
import { event, LATEST } from '../../streams/rig.ts'
import { TestClock } from '../rocketmq/double.ts'

const KEY = 'rabbitmqsource/a/x'

function setUp(prepare: (server: ServerDouble) => void = () => {}) {
  const clock = new TestClock()
  const server = new ServerDouble(clock)
  prepare(server)
  const system = new SystemDouble(server)
  const state: { complaint: Complaint | undefined } = { complaint: undefined }
  const source: Source = queueSource({
    clock,
    subscribe: () => system.subscribe(KEY, LATEST, 'unordered'),
    complaint: () => state.complaint,
    noSeek: 'its administrator sets it back',
  })
  const intake = new RecordingIntake()
  const stop = new AbortController()
  const feed = source.open(intake, stop.signal)
  intake.feed = feed
  return { clock, server, system, state, source, intake, feed, stop }
}

describe('a source that is a queue', () => {
  test('is starting until its queue is there, then ready, degraded while something is wrong, and stopped', async () => {
    const r = setUp((s) => (s.trouble.holdReady = []))
    expect(r.source.status()).toEqual({ phase: 'starting' })
    r.intake.attach(1, KEY, LATEST)
    await r.clock.pass(10)
    expect(r.source.status()).toEqual({ phase: 'starting' })
    for (const go of r.server.trouble.holdReady!) go()
    await r.clock.pass(10)
    expect(r.source.status()).toEqual({ phase: 'ready' })
    r.state.complaint = { reason: 'QueueMissing', message: 'the queue is missing' }
    expect(r.source.status()).toEqual({ phase: 'degraded', reason: 'QueueMissing', message: 'the queue is missing' })
    await r.source.close(new AbortController().signal)
    expect(r.source.status()).toEqual({ phase: 'stopped' })
  })

  test('reads nothing before a subscription attaches, and begins anew when it comes back', async () => {
    const r = setUp()
    await r.clock.pass(10)
    expect(r.system.orders).toEqual([])
    const p = r.intake.attach(1, KEY, LATEST)
    r.server.publish(event('e0'))
    await r.clock.pass(10)
    expect(p.ids).toEqual(['e0'])
    r.feed.detach(1, false)
    await r.clock.pass(10)
    const q = r.intake.attach(1, KEY, LATEST)
    await r.clock.pass(10)
    expect(r.system.orders).toHaveLength(2)
    expect(q.ids).toEqual(['e0'])
  })

  test('forgets nothing of a queue that is its administrator’s', async () => {
    const r = setUp()
    r.intake.attach(1, KEY, LATEST)
    r.server.publish(event('e0'))
    await r.clock.pass(10)
    r.feed.detach(1, true)
    expect(r.feed.forget('rabbitmqsource/a/other')).toBe(false)
    await r.clock.pass(10)
    expect(r.server.place(KEY).ready).toHaveLength(1)
  })

  test('offers nothing after its signal, and gives back on close what it holds', async () => {
    const r = setUp()
    const p = r.intake.attach(1, KEY, LATEST)
    r.server.publish(event('e0'))
    await r.clock.pass(10)
    r.stop.abort()
    r.server.publish(event('e1'))
    await r.clock.pass(10)
    expect(p.ids).toEqual(['e0'])
    await r.source.close(new AbortController().signal)
    expect(r.server.place(KEY).ready.map((m) => m.event?.id)).toEqual(['e0', 'e1'])
  })
})
