const ISO =
  /^P(?:(\d+(?:[.,]\d+)?)W)?(?:(\d+(?:[.,]\d+)?)D)?(?:T(?:(\d+(?:[.,]\d+)?)H)?(?:(\d+(?:[.,]\d+)?)M)?(?:(\d+(?:[.,]\d+)?)S)?)?$/
const ISO_UNITS_MS = [604_800_000, 86_400_000, 3_600_000, 60_000, 1000] as const
const GO = /^(?:\d+(?:\.\d*)?(?:ns|us|µs|μs|ms|s|m|h))+$/
const GO_PART = /(\d+(?:\.\d*)?)(ns|us|µs|μs|ms|s|m|h)/g
const GO_UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

export const MUST_BE_ISO =
  'must be an ISO 8601 duration such as PT0.2S or PT10M, not negative, without years and months, a fraction only in the smallest unit'
export const MUST_BE_DURATION = 'must be a duration such as 30s, 1h30m or PT30S'

/**
 * An ISO 8601 duration in whole milliseconds, undefined when it is none: no years and months (their length is not fixed),
 * not negative, a fraction only in the smallest unit. DESIGN §5
 */
export function parseIsoDuration(text: string): number | undefined {
  const found = ISO.exec(text)
  if (found === null || text.endsWith('T')) return undefined
  let ms = 0
  let units = 0
  let fractionSeen = false
  for (let i = 0; i < ISO_UNITS_MS.length; i++) {
    const part = found[i + 1]
    if (part === undefined) continue
    if (fractionSeen) return undefined
    fractionSeen = /[.,]/.test(part)
    units++
    ms += Number(part.replace(',', '.')) * (ISO_UNITS_MS[i] as number)
  }
  return units === 0 ? undefined : wholeMs(ms)
}

/** Go's spelling (`1h30m`, `500ms`, `0`), as Knative's ConfigMaps and annotations write it. */
export function parseGoDuration(text: string): number | undefined {
  if (text === '0') return 0
  if (!GO.test(text)) return undefined
  let ms = 0
  for (const [, count, unit] of text.matchAll(GO_PART)) ms += Number(count) * (GO_UNITS_MS[unit as string] as number)
  return wholeMs(ms)
}

/** Either spelling, for what is ours (`sluice.dev/…` and options). */
export function parseDuration(text: string): number | undefined {
  return text.startsWith('P') ? parseIsoDuration(text) : parseGoDuration(text)
}

/** Cut to whole ms; the detour over six decimals keeps 1.001 s from becoming 1000 ms by binary fractions. */
function wholeMs(ms: number): number | undefined {
  const whole = ms > 1e9 ? Math.floor(ms) : Math.floor(Math.round(ms * 1e6) / 1e6)
  return Number.isSafeInteger(whole) ? whole : undefined
}
