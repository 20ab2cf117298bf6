import { createServer, type Server } from 'node:http'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { CLIENT_OPTIONS, clientFor, OUTPUT_OPTION, subscriptionPath, table } from '../../src/cli/client.ts'
import { parseFor, type Command, type Parsed } from '../../src/cli/command.ts'
import { loadPaths } from '../../src/resources/load.ts'
import { faultOf } from '../../src/resources/faults.ts'
import { Fault, type ErrorCode } from '../../src/runtime/errors.ts'

const folders: string[] = []
let server: Server | null = null
afterEach(() => {
  for (const f of folders.splice(0)) rmSync(f, { recursive: true, force: true })
  server?.closeAllConnections()
  server?.close()
  server = null
})
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'sluice-client-'))
  folders.push(path)
  return path
}

const command: Command = {
  name: 'x',
  about: '',
  usage: '',
  options: { ...CLIENT_OPTIONS, ...OUTPUT_OPTION },
  run: () => Promise.resolve(0),
}
function args(...argv: string[]): Parsed {
  const parsed = parseFor(command, argv)
  if (parsed === 'help') throw new Error('help')
  return parsed
}
async function codeOf(f: () => unknown): Promise<ErrorCode> {
  try {
    await f()
  } catch (e) {
    if (e instanceof Fault) return e.code
    throw e
  }
  throw new Error('nothing was thrown')
}
/** An admin port that answers what it is told, and keeps the headers it saw. */
async function admin(status: number, body: string): Promise<{ url: string; seen: Record<string, unknown>[] }> {
  const seen: Record<string, unknown>[] = []
  server = createServer((request, response) => {
    seen.push(request.headers)
    response.writeHead(status).end(body)
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return { url: `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`, seen }
}

describe('the client of the admin API', () => {
  test('says where it looked when nobody answers', async () => {
    const client = clientFor(args('--admin', '127.0.0.1:9'))
    expect(await codeOf(() => client.get('/api/v1/plan'))).toBe('admin.unreachable')
    await expect(client.get('/x')).rejects.toThrow(/no gateway answers at http:\/\/127\.0\.0\.1:9 \(.*\); --admin names another/)
  })

  test.each([
    [404, '{"message":"no such thing"}', 'admin.not-found', /^no such thing$/],
    [401, '{"message":"token please"}', 'admin.refused', /^token please$/],
    [400, 'plain words', 'admin.refused', /400 plain words/],
    [500, '{"message":"a bug"}', 'admin.failed', /^a bug$/],
  ])('%i becomes a fault with the words of the gateway', async (status, body, code, words) => {
    const { url } = await admin(status, body)
    const client = clientFor(args('--admin', url))
    expect(await codeOf(() => client.get('/x'))).toBe(code)
    await expect(client.post('/x', {})).rejects.toThrow(words)
  })

  test('sends the token of the data folder, or of the file that is named; without one it asks all the same', async () => {
    const { url, seen } = await admin(200, '{}')
    const data = folder()
    await clientFor(args('--admin', url, '--data', data)).get('/x')
    writeFileSync(join(data, 'admin.token'), 'secret-1\n')
    await clientFor(args('--admin', url, '--data', data)).get('/x')
    writeFileSync(join(data, 'other'), 'secret-2\n')
    await clientFor(args('--admin', url, '--data', data, '--token-file', join(data, 'other'))).post('/x', {})
    expect(seen.map((h) => h['authorization'])).toEqual([undefined, 'Bearer secret-1', 'Bearer secret-2'])
    expect(seen[2]?.['content-type']).toBe('application/json')
    const missing = clientFor(args('--admin', url, '--token-file', join(data, 'nowhere')))
    expect(await codeOf(() => missing.get('/x'))).toBe('config.usage')
  })

  test('reads lines however they are cut', async () => {
    server = createServer((_request, response) => {
      response.write('{"a":1}\n{"b":"')
      setImmediate(() => response.write(Buffer.from('ä').subarray(0, 1)))
      setTimeout(() => response.end(Buffer.concat([Buffer.from('ä').subarray(1), Buffer.from('"}\nrest without end')])), 20)
    })
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const lines: string[] = []
    const client = clientFor(args('--admin', `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`))
    for await (const line of client.lines('/x')) lines.push(line)
    expect(lines).toEqual(['{"a":1}', '{"b":"ä"}'])
  })
})

describe('words of the command line', () => {
  test('a subscription is named in three ways', () => {
    expect(subscriptionPath(['trigger/ns/orders'])).toBe('trigger/ns/orders')
    expect(subscriptionPath(['Trigger/orders'])).toBe('trigger/default/orders')
    expect(subscriptionPath(['trigger', 'ns/orders'])).toBe('trigger/ns/orders')
    expect(subscriptionPath(['trigger/ns/a b'])).toBe('trigger/ns/a%20b')
  })

  test.each([[[]], [['']], [['orders']], [['a/b/c/d']], [['trigger/']]])('%j names none', async (words) => {
    expect(await codeOf(() => subscriptionPath(words))).toBe('config.usage')
  })

  test('an option it does not know is wrong usage', async () => {
    expect(await codeOf(() => args('--nonsense'))).toBe('config.usage')
    expect(await codeOf(() => clientFor(args('-o', 'yaml')))).toBe('config.usage')
  })

  test('a table is as wide as its widest cells and has no blanks at the end', () => {
    expect(
      table(
        ['A', 'LONGER'],
        [
          ['wide cell', 1],
          ['x', ''],
        ],
      ),
    ).toBe('A          LONGER\nwide cell  1\nx\n')
  })
})

test('faults of manifests are one fault of the command', () => {
  const { faults } = loadPaths(['-'], 'a: [')
  expect(faults.length).toBeGreaterThan(0)
  expect(faultOf(faults).code).toBe('config.invalid')
})
