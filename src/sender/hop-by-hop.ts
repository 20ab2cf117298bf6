import { fitValue, isToken } from './request-head.ts'

/** Headers that mean one connection and are never passed on. RFC 9110 §7.6.1, and those everybody takes off beside them. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** What is left of name, value, … to be passed on: lower-case names, without what Connection names, each fit to be written. */
export function endToEnd(headers: readonly string[]): string[] {
  let named: Set<string> | null = null
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() !== 'connection') continue
    named ??= new Set()
    for (const option of (headers[i + 1] ?? '').split(',')) named.add(option.trim().toLowerCase())
  }
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] ?? '').toLowerCase()
    if (HOP_BY_HOP.has(name) || named?.has(name) === true || !isToken(name)) continue
    const value = fitValue(headers[i + 1] ?? '')
    if (value !== null) kept.push(name, value)
  }
  return kept
}
