import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Outcome } from '../../src/contract/outcome.ts'
import { createCallbackDesk, type CallbackDesk } from '../../src/engine/callback-desk.ts'
import type { CallbackRequest } from '../../src/ingress/destination.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'

let folder = ''
let said: (Outcome | number)[] = []
let taken = true
const known = { answered: false, has: false }
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-desk-'))
  said = []
  taken = true
  Object.assign(known, { answered: false, has: false })
})
afterEach(() => rmSync(folder, { recursive: true }))

function desk(): CallbackDesk {
  return createCallbackDesk({
    keyFile: join(folder, 'callback.key'),
    clock: new VirtualClock(),
    baseUrl: () => 'http://gateway:8080/',
    leases: { of: () => [], save() {}, end() {}, close() {}, answered: () => known.answered, has: () => known.has },
    machine: () => ({
      complete: (_token, o) => (said.push(o), taken),
      extendLease: (_token, ms = 0) => (said.push(ms), taken),
    }),
  })
}

interface Answered {
  readonly status: number
  readonly body: { readonly result?: string; readonly message?: string }
  readonly headers: readonly string[]
}

function call(to: CallbackDesk, query: string, body: string | null, headers: Readonly<Record<string, string>> = {}): Answered {
  let answered: Answered | undefined
  const view = {
    get: (name: string) => headers[name],
    each: (f: (name: string, value: string) => void) => Object.entries(headers).forEach(([n, v]) => f(n, v)),
  }
  const request = { path: '/-/callback', query, headers: view, body: body === null ? null : Buffer.from(body) }
  to.destination(1).handle(request as unknown as CallbackRequest, (status, list, text) => {
    answered = { status, headers: list, body: JSON.parse(text ?? '') as Answered['body'] }
  })
  return answered!
}

describe('a callback', () => {
  test('has a URL on the data port that only this gateway can make, also after a restart; its key is nobody else’s to read', () => {
    const first = desk()
    const token = first.newToken()
    expect(first.urlOf(token)).toBe(`http://gateway:8080/-/callback?token=${token}`)
    expect(statSync(join(folder, 'callback.key')).mode & 0o777).toBe(0o600)
    expect(call(desk(), `token=${token}`, null).status).toBe(200)
    const forged = token.slice(0, -1) + (token.endsWith('A') ? 'B' : 'A')
    for (const bad of [`token=${forged}`, 'token=', 'token=.', '', `token=${token.split('.')[0]}`, `token=x${token}`]) {
      expect(call(first, bad, null)).toMatchObject({ status: 403 })
    }
    expect(said).toHaveLength(1)
  })

  test.each([
    [null, { kind: 'accepted', status: 200 }],
    ['', { kind: 'accepted', status: 200 }],
    ['{"status":"success"}', { kind: 'accepted', status: 200 }],
    ['{"status":"failure"}', { kind: 'retryable', status: 0, why: 'the callback said: failure' }],
    ['{"status":"failure","message":"no paper"}', { kind: 'retryable', status: 0, why: 'the callback said: no paper' }],
    ['{"status":"failure","retryable":false}', { kind: 'rejected', status: 0, why: 'the callback said: failure' }],
    ['{"status":"extend"}', 0],
    ['{"status":"extend","lease":"PT10M"}', 600_000],
    ['{"status":"extend","lease":"90s"}', 90_000],
  ])('%s means %j', (body, meaning) => {
    const to = desk()
    expect(call(to, `token=${to.newToken()}`, body)).toMatchObject({ status: 200, body: { result: 'taken' } })
    expect(said).toEqual([meaning])
  })

  test('a CloudEvent is the reply', () => {
    const to = desk()
    const ce = { 'ce-specversion': '1.0', 'ce-id': 'r', 'ce-source': '/worker', 'ce-type': 'work.done' }
    call(to, `token=${to.newToken()}`, 'done', ce)
    expect(said[0]).toMatchObject({ kind: 'accepted', status: 200, reply: { id: 'r', type: 'work.done' } })
    const { status } = call(to, `token=${to.newToken()}`, 'done', { ...ce, 'ce-id': '' })
    expect([status, said.length]).toEqual([400, 1])
  })

  test.each([
    '{',
    '[]',
    'null',
    '"success"',
    '{"status":"done"}',
    '{"status":"extend","lease":"soon"}',
    '{"status":"extend","lease":5}',
  ])('%s is not understood and changes nothing', (body) => {
    const to = desk()
    expect(call(to, `token=${to.newToken()}`, body).status).toBe(400)
    expect(said).toEqual([])
  })

  test('a repeat is 200, a late one 410, one for a subscription that is away 503 with Retry-After', () => {
    const to = desk()
    const query = `token=${to.newToken()}`
    taken = false
    expect(call(to, query, null)).toMatchObject({ status: 410 })
    known.has = true
    expect(call(to, query, null)).toMatchObject({ status: 503, headers: expect.arrayContaining(['retry-after']) as string[] })
    known.answered = true
    expect(call(to, query, null)).toMatchObject({ status: 200, body: { result: 'repeated' } })
  })
})
