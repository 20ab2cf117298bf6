import { expect, test } from 'vitest'
import type { RoutePlan } from '../../src/contract/plan.ts'
import type { Destination } from '../../src/ingress/destination.ts'
import { plainHost, Routes } from '../../src/ingress/routes.ts'

const route = (host: string, path: string, stream: string): RoutePlan => ({
  host,
  path,
  to: { kind: 'stream', stream, owner: stream },
})

const tableOf = (...plans: RoutePlan[]): ((host: string, path: string) => string | undefined) => {
  const made = new Map<Destination, string>()
  const routes = new Routes()
  routes.set(plans, (r) => {
    const name = r.to.kind === 'stream' ? r.to.stream : ''
    if (name === 'missing') return undefined
    const destination: Destination = { kind: 'callback', id: 1, maxBodyBytes: 1, handle: () => {} }
    made.set(destination, name)
    return destination
  })
  return (host, path) => {
    const found = routes.resolve(host, path)
    return found === undefined ? undefined : made.get(found)
  }
}

test('a path is exact but for one slash at its end', () => {
  const resolve = tableOf(route('', '/ns/a', 'a'), route('', '/', 'root'))
  expect(resolve('any', '/ns/a')).toBe('a')
  expect(resolve('any', '/ns/a/')).toBe('a')
  expect(resolve('any', '/')).toBe('root')
  for (const path of ['/ns/a//', '/ns/A', '/ns/a/b', '/ns', '//ns/a', '']) expect(resolve('any', path)).toBeUndefined()
})

test('a host wins over a path, without its port, in any case, with or without the last dot', () => {
  const resolve = tableOf(route('', '/ns/a', 'by path'), route('svc.ns.example.com', '', 'service'))
  for (const host of ['svc.ns.example.com', 'SVC.ns.Example.com:8080', 'svc.ns.example.com.', 'svc.ns.example.com.:80']) {
    expect(resolve(host, '/ns/a')).toBe('service')
    expect(resolve(host, '/')).toBe('service')
  }
  for (const host of ['other.ns.example.com', 'xsvc.ns.example.com', '']) expect(resolve(host, '/ns/a')).toBe('by path')
})

test('a host with exact paths falls back to the paths of every host', () => {
  const resolve = tableOf(route('broker-ingress', '/ns/a', 'hosted'), route('', '/ns/a', 'a'), route('', '/ns/b', 'b'))
  expect(resolve('broker-ingress:80', '/ns/a/')).toBe('hosted')
  expect(resolve('broker-ingress', '/ns/b')).toBe('b')
  expect(resolve('broker-ingress', '/ns/c')).toBeUndefined()
  expect(resolve('elsewhere', '/ns/a')).toBe('a')
})

test('replacing the routes replaces all of them, and what leads nowhere is left out', () => {
  const routes = new Routes()
  const one: Destination = { kind: 'callback', id: 1, maxBodyBytes: 1, handle: () => {} }
  const two: Destination = { ...one, id: 2 }
  routes.set([route('', '/a', 'a'), route('h', '', 'h')], () => one)
  expect(routes.resolve('h', '/x')).toBe(one)
  routes.set([route('', '/b', 'b'), route('', '/gone', 'missing')], (r) => (r.path === '/gone' ? undefined : two))
  expect(routes.resolve('h', '/x')).toBeUndefined()
  expect(routes.resolve('h', '/a')).toBeUndefined()
  expect(routes.resolve('h', '/b')).toBe(two)
  expect(routes.resolve('h', '/gone')).toBeUndefined()
})

test('of two routes with the same address the first holds', () => {
  expect(tableOf(route('', '/a', 'first'), route('', '/a/', 'second'))('', '/a')).toBe('first')
})

test('an IPv6 host keeps its colons', () => {
  expect(plainHost('[::1]:8080')).toBe('[::1]')
  expect(plainHost('[::1]')).toBe('[::1]')
  expect(plainHost('127.0.0.1:80')).toBe('127.0.0.1')
  expect(plainHost('a')).toBe('a')
})
