import { expect, test } from 'vitest'
import { forwarded } from '../../src/ingress/forwarded.ts'
import type { Exchange } from '../../src/ingress/http-server.ts'
import { FlatHeaders } from '../../src/ingress/http-server.ts'

const of = (remote: string, flat: string[]): Record<string, string> => {
  const list = forwarded({ host: 'h:80', headers: new FlatHeaders(flat), remoteAddress: () => remote } as unknown as Exchange)
  const out: Record<string, string> = {}
  for (let i = 0; i < list.length; i += 2) out[list[i] as string] = list[i + 1] as string
  return out
}

test('addresses are appended, host and protocol stay what the first proxy said', () => {
  const flat = [
    'x-forwarded-for',
    '1.1.1.1',
    'x-forwarded-proto',
    'https',
    'x-forwarded-host',
    'first',
    'forwarded',
    'for=1.1.1.1',
    'x',
    'y',
  ]
  expect(of('2.2.2.2', flat)).toEqual({
    x: 'y',
    'x-forwarded-for': '1.1.1.1, 2.2.2.2',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'first',
    forwarded: 'for=1.1.1.1, for=2.2.2.2;host="h:80";proto=http',
  })
})

test('IPv6 is quoted in Forwarded, IPv4 in IPv6 is IPv4, an unknown address is said to be', () => {
  expect(of('::1', [])).toMatchObject({ 'x-forwarded-for': '::1', forwarded: 'for="[::1]";host="h:80";proto=http' })
  expect(of('::ffff:3.3.3.3', [])['x-forwarded-for']).toBe('3.3.3.3')
  expect(of('', [])['forwarded']).toContain('for=unknown')
})
