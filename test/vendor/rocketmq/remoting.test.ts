import { createHmac } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { Secret } from '../../../src/runtime/secret.ts'
import { parseLooseJson } from '../../../src/vendor/rocketmq/loose-json.ts'
import { decodeCommand, encodeCommand, RemotingLink } from '../../../src/vendor/rocketmq/remoting.ts'
import { until } from '../../until.ts'
import { answerOf, RemotingDouble } from './remoting-double.ts'

const NOTHING = new Uint8Array(0)

describe('a command', () => {
  test('is lengths, a header of JSON and a body', () => {
    const bytes = encodeCommand({ code: 17, fields: { topic: 'ü' }, body: Buffer.from('body') }, 7, null)
    expect(bytes.readUInt32BE(0)).toBe(bytes.length - 4)
    const back = decodeCommand(bytes.subarray(4))
    expect(back).toMatchObject({ code: 17, opaque: 7, answer: false, fields: { topic: 'ü' }, remark: '' })
    expect(Buffer.from(back.body).toString()).toBe('body')
  })

  test('is signed over its values in the order of their names, then its body', () => {
    const secret = { accessKey: 'alice', accessSecret: new Secret('wonder-land') }
    const bytes = encodeCommand({ code: 17, fields: { b: '2', Zeta: '3', a: '1' }, body: Buffer.from('body') }, 1, secret)
    const expected = createHmac('sha1', 'wonder-land').update('alice312body').digest('base64')
    expect(decodeCommand(bytes.subarray(4)).fields).toEqual({
      a: '1',
      b: '2',
      Zeta: '3',
      AccessKey: 'alice',
      Signature: expected,
    })
    expect(bytes.toString()).not.toContain('wonder-land')
  })

  test('of another serialization, or cut short, is none', () => {
    const other = Buffer.from(encodeCommand({ code: 1, fields: {}, body: NOTHING }, 1, null).subarray(4))
    other.writeUInt8(1, 0)
    expect(() => decodeCommand(other)).toThrow('no JSON command')
    expect(() => decodeCommand(Buffer.from([0, 0, 1, 0, 123]))).toThrow('no JSON command')
  })
})

describe('a link', () => {
  const doubles: RemotingDouble[] = []
  const links: RemotingLink[] = []
  const server = async (...args: ConstructorParameters<typeof RemotingDouble>): Promise<RemotingDouble> => {
    const d = new RemotingDouble(...args)
    doubles.push(d)
    await d.listen()
    return d
  }
  const link = (callMs = 5_000): RemotingLink => {
    const l = new RemotingLink({ credentials: null, tls: null, callMs })
    links.push(l)
    return l
  }
  afterEach(async () => {
    for (const l of links.splice(0)) l.close()
    await Promise.all(doubles.splice(0).map((d) => d.close()))
  })

  test('gives each call its own answer, in whatever pieces and order they come', async () => {
    const d = await server((c) => answerOf({ fields: { echo: c.fields['n'] ?? '' } }))
    d.piecemeal = true
    d.backwards = 3
    const l = link()
    const answers = await Promise.all(['1', '2', '3'].map((n) => l.call(d.address, 1, { n })))
    expect(answers.map((a) => a.fields['echo'])).toEqual(['1', '2', '3'])
    expect(d.connections).toBe(1)
  })

  test('gives up what nobody answers, and opens another connection for the next call', async () => {
    let mute = true
    const d = await server(() => (mute ? null : answerOf({})))
    const l = link(30)
    await expect(l.call(d.address, 1, {})).rejects.toMatchObject({
      reason: 'RocketMQUnreachable',
      message: expect.stringContaining('no answer within 30 ms') as string,
    })
    mute = false
    expect((await link().call(d.address, 1, {})).code).toBe(0)
    await until('the mute connection is given up', async () => (await l.call(d.address, 1, {}).catch(() => null)) !== null)
    expect(d.connections).toBeGreaterThanOrEqual(3)
  })

  test('rejects what is under way when the connection breaks, is refused, or speaks something else', async () => {
    const broken = await server(() => 'hang up')
    const other = await server(() => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))
    const l = link()
    await expect(l.call(broken.address, 1, {})).rejects.toMatchObject({ reason: 'RocketMQUnreachable' })
    await expect(l.call(other.address, 1, {})).rejects.toThrow('does not speak the protocol')
    await expect(l.call('127.0.0.1:1', 1, {})).rejects.toThrow('ECONNREFUSED')
    l.close()
    await expect(l.call(broken.address, 1, {})).rejects.toThrow('closed')
  })
})

describe('the JSON of brokers', () => {
  test('has numbers and objects for keys', () => {
    expect(parseLooseJson(' {"a":{0:"x", 1 : "y"},"b":[1,-2.5e1,true,null,"\\"}"],"c":{}} ')).toEqual({
      a: { '0': 'x', '1': 'y' },
      b: [1, -25, true, null, '"}'],
      c: {},
    })
    expect(parseLooseJson('{{"brokerName":"a","queueId":1}:{"brokerOffset":3},{"queueId":2}:{}}')).toEqual({
      '{"brokerName":"a","queueId":1}': { brokerOffset: 3 },
      '{"queueId":2}': {},
    })
  })

  test.each(['', '{', '{"a"}', '{"a":1', '[1,]', '{"a":1}x', '"', 'nul', `${'['.repeat(100)}1${']'.repeat(100)}`])(
    'is no JSON: %j',
    (text) => {
      expect(() => parseLooseJson(text)).toThrow(SyntaxError)
    },
  )
})
