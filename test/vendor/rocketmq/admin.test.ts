import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openAdmin, type RocketMqAdmin } from '../../../src/vendor/rocketmq/admin.ts'
import type { Command } from '../../../src/vendor/rocketmq/remoting.ts'
import { type Answer, answerOf, RemotingDouble } from './remoting-double.ts'

/** Answers by request code; whatever is not told is a success without anything in it. */
let answers: Record<number, (c: Command) => Answer | null> = {}
let broker: RemotingDouble
let admin: RocketMqAdmin

const route = (queues: number): Answer =>
  answerOf({
    body: JSON.stringify({
      brokerDatas: [{ brokerName: 'a', brokerAddrs: { 0: broker.address, 1: '127.0.0.1:1' } }],
      queueDatas: [{ brokerName: 'a', perm: 6, readQueueNums: queues, writeQueueNums: queues }],
    }),
  })
const asked = (code: number): readonly Command[] => broker.calls.filter((c) => c.code === code)
const fields = (code: number): readonly Command['fields'][] => asked(code).map((c) => c.fields)

beforeEach(async () => {
  broker = new RemotingDouble((c) => (answers[c.code] ?? ((): Answer => answerOf({})))(c))
  await broker.listen()
  answers = {
    105: () => route(2),
    // As brokers write it: the key of an address is a bare number.
    106: () =>
      answerOf({
        body: `{"brokerAddrTable":{"a":{"brokerAddrs":{0:"${broker.address}"},"brokerName":"a","cluster":"one"},"b":{"brokerAddrs":{1:"127.0.0.1:1"},"brokerName":"b","cluster":"one"}}}`,
      }),
    14: () => answerOf({ code: 22 }),
    30: () => answerOf({ fields: { offset: '9' } }),
    31: () => answerOf({ fields: { offset: '3' } }),
    29: () => answerOf({ fields: { offset: '5' } }),
  }
  // The first does not answer: the second is asked.
  admin = openAdmin({ nameServers: ['127.0.0.1:1', broker.address], credentials: null, tls: null, cluster: '' })
})
afterEach(async () => {
  admin.close()
  await broker.close()
})

describe('topics', () => {
  test('are the queues that can be read, of the brokers that lead', async () => {
    expect(await admin.topic('t')).toEqual([{ broker: 'a', address: broker.address, readQueues: 2 }])
    answers[105] = () => answerOf({ code: 17, remark: 'No topic route info' })
    expect(await admin.topic('t')).toBeNull()
  })

  test('are made with their type, and are there once the name server tells of them', async () => {
    let looks = 0
    answers[105] = () => (++looks < 3 ? answerOf({ code: 17 }) : route(2))
    await admin.makeTopic('t', { queues: 2, type: 'FIFO' })
    expect(fields(17)).toEqual([
      expect.objectContaining({ topic: 't', readQueueNums: '2', writeQueueNums: '2', attributes: '+message.type=FIFO' }),
    ])
    expect(looks).toBe(3)
  })

  test('that may not be made are told with the reason', async () => {
    answers[17] = () => answerOf({ code: 16, remark: 'no permission' })
    await expect(admin.makeTopic('t', { queues: 2, type: 'NORMAL' })).rejects.toMatchObject({
      reason: 'Unauthorized',
      message: expect.stringContaining('making the topic t: no permission') as string,
    })
  })
})

describe('groups', () => {
  test('tell how often they deliver again', async () => {
    answers[352] = () => answerOf({ body: '{"groupName":"g","retryMaxTimes":3,"consumeMessageOrderly":true}' })
    expect(await admin.group('g')).toEqual({ retryMaxTimes: 3, fifo: true })
    answers[352] = () => answerOf({ code: 1, remark: 'No group in this broker. group: g' })
    expect(await admin.group('g')).toBeNull()
  })

  test('are made and deleted, with what they read again', async () => {
    await admin.makeGroup('g', { retryMaxTimes: 100, fifo: false })
    expect(JSON.parse(Buffer.from(asked(200)[0]!.body).toString())).toMatchObject({ groupName: 'g', retryMaxTimes: 100 })
    answers[207] = () => answerOf({ code: 26 })
    await admin.deleteGroup('g', ['t'])
    expect(fields(207)).toEqual([{ groupName: 'g', cleanOffset: 'true' }])
    expect(fields(215).map((f) => f['topic'])).toEqual(['%DLQ%g', '%RETRY%g', '%RETRY%g_t', '%RETRY%g+t'])
  })

  test('are all listed', async () => {
    answers[201] = () => answerOf({ body: '{"subscriptionGroupTable":{"g1":{},"g2":{}}}' })
    expect(await admin.groups()).toEqual(['g1', 'g2'])
  })
})

describe('a place', () => {
  test('is set in every queue that has none, exactly where it was asked for', async () => {
    answers[14] = (c) => answerOf(c.fields['queueId'] === '0' ? { fields: { offset: '0' } } : { code: 22 })
    expect(await admin.placed('g', 't')).toBe('some')
    await admin.place('g', 't', 'earliest', true)
    expect(fields(222)).toEqual([expect.objectContaining({ topic: 't', group: 'g', queueId: '1', offset: '3' })])
    await admin.place('g', 't', { timeMs: 1_000 }, false)
    expect(fields(29).map((f) => f['timestamp'])).toEqual(['1000', '1000'])
    expect(fields(222).map((f) => f['offset'])).toEqual(['3', '5', '5'])
    expect(fields(14).every((f) => f['setZeroIfNotFound'] === 'false')).toBe(true)
  })

  test('at the end is behind what was stored before, also where it is not indexed yet', async () => {
    let behind = 30
    let looks = 0
    answers[28] = () => {
      looks++
      const answer = answerOf({ body: `{"table":{"commitLogMaxOffset":"${100 + looks}","dispatchBehindBytes":"${behind}"}}` })
      behind = Math.max(2, behind - 15)
      return answer
    }
    answers[30] = () => answerOf({ fields: { offset: String(looks) } })
    answers[105] = () => route(1)
    await admin.place('g', 't', 'latest', false)
    // 101 were stored at first: indexed up to 71, 87, then 101.
    expect(fields(222).map((f) => f['offset'])).toEqual(['3'])
    answers[28] = () => answerOf({ code: 3 })
    await admin.place('g', 't', 'latest', false)
    expect(fields(222)).toHaveLength(2)
  })

  test('is written where the broker leaves it to clients', async () => {
    answers[222] = () => answerOf({ code: 206, remark: 'Consumer not online' })
    answers[105] = () => route(1)
    await admin.place('g', 't', 'earliest', false)
    expect(fields(15)).toEqual([{ topic: 't', queueId: '0', consumerGroup: 'g', commitOffset: '3' }])
    answers[15] = () => answerOf({ code: 16 })
    await expect(admin.place('g', 't', 'earliest', false)).rejects.toMatchObject({ reason: 'Unauthorized' })
  })

  test('needs the topic', async () => {
    answers[105] = () => answerOf({ code: 17 })
    await expect(admin.placed('g', 't')).rejects.toMatchObject({ reason: 'TopicMissing' })
  })
})

test('progress is what the group has not been handed of each queue', async () => {
  answers[208] = () =>
    answerOf({
      body: '{"consumeTps":0.0,"offsetTable":{{"brokerName":"a","queueId":1,"topic":"t"}:{"brokerOffset":9,"consumerOffset":4,"lastTimestamp":77,"pullOffset":4},{"brokerName":"a","queueId":0,"topic":"t"}:{"brokerOffset":2,"consumerOffset":2}}}',
    })
  expect(await admin.progress('g', 't')).toEqual([
    { broker: 'a', queue: 1, end: 9, next: 4, readMs: 77 },
    { broker: 'a', queue: 0, end: 2, next: 2, readMs: 0 },
  ])
  answers[208] = () => answerOf({ code: 17 })
  expect(await admin.progress('g', 't')).toEqual([])
})

test('a cluster without a broker that leads is said to be so', async () => {
  const other = openAdmin({ nameServers: [broker.address], credentials: null, tls: null, cluster: 'two' })
  await expect(other.groups()).rejects.toThrow('no broker of the cluster two that leads')
  other.close()
})
