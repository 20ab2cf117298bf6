import { beforeEach, describe, expect, test } from 'vitest'
import { SILENT_LOG } from '../../../src/runtime/log.ts'
import { Health } from '../../../src/sources/rabbitmq/health.ts'
import { Publisher, type Sent } from '../../../src/sources/rabbitmq/publisher.ts'
import { RabbitMqError } from '../../../src/vendor/rabbitmq/errors.ts'
import { SteppedClock } from '../../sender/stepped-clock.ts'
import { until } from '../../until.ts'
import { FakeLink } from './rig.ts'

const MESSAGE = { body: Buffer.from('x'), headers: {}, contentType: '', messageId: '' }

describe('a publisher', () => {
  let clock: SteppedClock
  let link: FakeLink
  let health: Health
  let publisher: Publisher
  let mayGo: boolean
  let answers: (Sent | undefined)[]
  const send = (): void => {
    const at = answers.push(undefined) - 1
    publisher.send('e', '', MESSAGE, (r) => (answers[at] = r))
  }
  const up = async (): Promise<void> => {
    const before = link.channels.length
    publisher.up(link.as)
    await until('there is a channel', () => link.channels.length === before + 1)
    await new Promise((resolve) => setImmediate(resolve))
  }

  beforeEach(() => {
    clock = new SteppedClock()
    link = new FakeLink()
    health = new Health(SILENT_LOG, 'RabbitMQ stream')
    mayGo = true
    answers = []
    publisher = new Publisher({ clock, health, prepare: () => Promise.resolve(), mayGo: () => mayGo })
  })

  test('answers with the confirmation, never before', async () => {
    await up()
    send()
    send()
    expect(answers).toEqual([undefined, undefined])
    link.last.published[1]!.done(null)
    link.last.published[0]!.done(new Error('nacked'))
    expect(answers).toEqual([{ why: 'RabbitMQ did not confirm it: nacked' }, 'durable'])
  })

  test('says what no queue took', async () => {
    await up()
    send()
    send()
    link.last.return(link.last.published[0]!.message.headers)
    for (const p of link.last.published) p.done(null)
    expect(answers).toEqual(['unroutable', 'durable'])
  })

  test('keeps the order of what waited for a connection, and of those who should get it', async () => {
    mayGo = false
    send()
    await up()
    send()
    expect(link.last.published).toHaveLength(0)
    mayGo = true
    send()
    publisher.go()
    expect(link.last.published.map((p) => p.message.headers['sluice-id'])).toEqual(
      [0, 1, 2].map((n) => expect.stringMatching(new RegExp(`-${n}$`)) as string),
    )
  })

  test('nobody waits for ever: not for a connection, not for a confirmation', async () => {
    send()
    clock.advance(17_000)
    expect(answers[0]).toMatchObject({ why: expect.stringContaining('did not answer within') as string })
    await up()
    send()
    clock.advance(17_000)
    expect(answers[1]).toMatchObject({ why: expect.any(String) as string })
    // A confirmation that comes later changes nothing.
    link.last.published.at(-1)!.done(null)
    expect(answers[1]).not.toBe('durable')
  })

  test('a blocked connection is told at once to all, and over when the server says so', async () => {
    await up()
    send()
    publisher.blocked('low on memory')
    send()
    const why = 'RabbitMQ takes nothing from publishers: low on memory'
    expect(answers).toEqual([{ why }, { why }])
    expect(health.complaint?.message).toContain('low on memory')
    publisher.blocked('')
    expect(health.complaint).toBeUndefined()
    send()
    link.last.published.at(-1)!.done(null)
    expect(answers[2]).toBe('durable')
  })

  test('nothing that a lost channel had is known to be stored; the next one goes on', async () => {
    await up()
    send()
    link.last.lose(new RabbitMqError('ExchangeMissing', 'no exchange'))
    expect(answers[0]).toMatchObject({ why: expect.stringContaining('closed') as string })
    expect(health.complaint?.reason).toBe('ExchangeMissing')
    send()
    clock.advance(1_000)
    await until('it was sent on another', () => link.channels.length === 2 && link.last.published.length === 1)
    link.last.published[0]!.done(null)
    expect(answers[1]).toBe('durable')
    expect(health.complaint).toBeUndefined()
  })

  test('closing waits for what is on its way, within the signal', async () => {
    await up()
    send()
    let closed = false
    const closing = publisher.close(AbortSignal.timeout(10_000)).then(() => (closed = true))
    await Promise.resolve()
    expect(closed).toBe(false)
    link.last.published[0]!.done(null)
    await closing
    expect(answers).toEqual(['durable'])
    send()
    expect(answers[1]).toMatchObject({ why: expect.any(String) as string })
  })

  test('closing ends with the signal, and answers what is left', async () => {
    send()
    await publisher.close(AbortSignal.abort())
    expect(answers[0]).toMatchObject({ why: expect.any(String) as string })
  })
})
