import { beforeEach, describe, expect, test } from 'vitest'
import { CloudEvent } from '../../../src/event/event.ts'
import { SILENT_LOG } from '../../../src/runtime/log.ts'
import { Lapsed } from '../../../src/sources/queue/consumer.ts'
import { RabbitMqConsumer } from '../../../src/sources/rabbitmq/consumer.ts'
import { Health } from '../../../src/sources/rabbitmq/health.ts'
import { ID_HEADER, type RabbitMqMessage } from '../../../src/sources/rabbitmq/messages.ts'
import { RabbitMqError } from '../../../src/vendor/rabbitmq/errors.ts'
import { SteppedClock } from '../../sender/stepped-clock.ts'
import { until } from '../../until.ts'
import { FakeLink } from './rig.ts'

const LEASE_MS = 60_000

describe('the consumer of a queue', () => {
  let clock: SteppedClock
  let link: FakeLink
  let health: Health
  let consumer: RabbitMqConsumer
  let taken: RabbitMqMessage[]
  let lost: boolean[]
  let refusal: RabbitMqError | null
  let gone: number
  const texts = (): string[] => taken.map((m) => Buffer.from(m.event?.data ?? []).toString())

  beforeEach(async () => {
    clock = new SteppedClock()
    link = new FakeLink()
    health = new Health(SILENT_LOG, 'RabbitMQ source')
    taken = []
    lost = []
    refusal = null
    gone = 0
    consumer = new RabbitMqConsumer({
      queue: 'q',
      clock,
      health,
      part: 'q',
      prepare: () => (refusal === null ? Promise.resolve() : Promise.reject(refusal)),
      eventOf: (m) => new CloudEvent({ id: '1', source: '/s', type: 't', data: m.body }),
      mostPrefetch: 1_024,
      leaseMs: LEASE_MS,
      gone: () => gone++,
      left: () => undefined,
    })
    consumer.start({
      room: () => 100,
      taken: (messages) => void taken.push(...messages),
      lost: (forgotten) => void lost.push(forgotten),
    })
    consumer.up(link.as)
    await until('it consumes', () => link.channels.length === 1 && link.last.did.includes('consume 64'))
  })
  const push = async (bodies: readonly string[], more = {}): Promise<void> => {
    const before = taken.length
    link.last.push(bodies, more)
    await until('they were handed over', () => taken.length === before + bodies.length)
  }
  const acknowledge = (messages: readonly RabbitMqMessage[]): readonly (Error | null)[] | null => {
    let answers: readonly (Error | null)[] | null = null
    consumer.acknowledge(messages, (a) => (answers = a))
    return answers
  }

  test('acknowledges all up to the first that is held in one frame, the others each', async () => {
    await push(['a', 'b', 'c', 'd', 'e'])
    expect(texts()).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(acknowledge([taken[1]!, taken[0]!, taken[3]!])).toBeNull()
    expect(acknowledge([taken[2]!, taken[4]!])).toBeNull()
    expect(link.last.did.filter((d) => d.startsWith('ack'))).toEqual(['ack ≤2', 'ack 4', 'ack ≤5'])
  })

  test('what another channel has handed out lapses, and is told as lost', async () => {
    await push(['a'])
    link.last.lose(new RabbitMqError('DeliveryTimedOut', 'too long'))
    expect(lost).toEqual([true])
    expect(health.complaint?.reason).toBe('DeliveryTimedOut')
    expect(acknowledge([taken[0]!])?.[0]).toBeInstanceOf(Lapsed)
    clock.advance(1_000)
    await until('it consumes again', () => link.channels.length === 2 && link.last.did.length > 0)
    await until('all is well', () => health.complaint === undefined)
    await push(['b'])
    expect(acknowledge([taken[1]!])).toBeNull()
    consumer.release(taken[0]!, 0)
    clock.advance(1_000)
    expect(link.last.did).not.toContain('back 1')
  })

  test('gives back a moment later, and nothing any more once it leaves', async () => {
    await push(['a', 'b'])
    consumer.release(taken[0]!, 0)
    expect(link.last.did).not.toContain('back 1')
    clock.advance(100)
    expect(link.last.did).toContain('back 1')
    await consumer.quiesce()
    consumer.release(taken[1]!, 0)
    clock.advance(100)
    expect(link.last.did).not.toContain('back 2')
    const { last } = link
    await consumer.close(AbortSignal.timeout(5_000))
    // Two answers of the queue lie behind the acknowledgements before the channel goes.
    expect(last.did.filter((d) => d === 'cancel').length).toBe(2)
    expect(last.did.at(-1)).toBe('close')
  })

  test.each([
    ['by its id', { [ID_HEADER]: 'x' }],
    ['by what it is', {}],
  ])('a lease is renewed by giving back and taking again: the message is known %s', async (_name, headers) => {
    await push(['a', 'b'], { headers })
    const [a] = taken
    const renewed = consumer.extend(a!)
    expect(link.last.did).toContain('back 1')
    await push(['a'], { redelivered: true, headers: { ...headers, 'x-delivery-count': 1 } })
    expect(await renewed).toBe(clock.now() + LEASE_MS)
    expect(taken[2]!.id).toBe(a!.id)
    expect(taken[2]!.redelivery).toBe(1)
    expect(acknowledge([taken[2]!])).toBeNull()
    expect(acknowledge([a!])?.[0]).toBeInstanceOf(Lapsed)
  })

  test('a message that does not come again has lapsed; one like it that is new is not taken for it', async () => {
    await push(['a'])
    const renewed = consumer.extend(taken[0]!)
    await push(['a'])
    expect(taken[1]!.id).not.toBe(taken[0]!.id)
    clock.advance(11_000)
    await expect(renewed).rejects.toBeInstanceOf(Lapsed)
    await push(['a'], { redelivered: true })
    expect(taken[2]!.id).not.toBe(taken[0]!.id)
  })

  test('makes its queue again when somebody has deleted it, says what is refused, and never gives up', async () => {
    refusal = new RabbitMqError('QueueMissing', 'no queue')
    link.last.queueGone()
    expect(gone).toBe(1)
    for (const waitMs of [1_000, 2_000, 5_000, 10_000, 20_000]) {
      clock.advance(waitMs)
      await until('it complains', () => health.complaint?.reason === 'QueueMissing')
    }
    expect(link.channels.length).toBe(1)
    refusal = null
    await until('it consumes again', () => {
      clock.advance(1_000)
      return link.channels.length === 2
    })
  })

  test('leaves the prefetch of large messages small, and widens it for small ones when it is used up', async () => {
    await push(Array.from({ length: 63 }, (_, i) => `small ${i}`))
    expect(link.last.did.filter((d) => d.startsWith('consume'))).toEqual(['consume 64'])
    await push(['one more'])
    await until('it is widened', () => link.last.did.includes('consume 1024'))
    expect(link.last.did.filter((d) => !d.startsWith('ack'))).toEqual(['consume 64', 'cancel', 'consume 1024'])
  })
})
