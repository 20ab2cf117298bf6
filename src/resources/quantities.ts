const BYTES = /^(\d+(?:\.\d+)?)(|k|M|G|T|Ki|Mi|Gi|Ti|B|KB|MB|GB|KiB|MiB|GiB)$/
const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  k: 1e3,
  KB: 1e3,
  M: 1e6,
  MB: 1e6,
  G: 1e9,
  GB: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  KiB: 2 ** 10,
  Mi: 2 ** 20,
  MiB: 2 ** 20,
  Gi: 2 ** 30,
  GiB: 2 ** 30,
  Ti: 2 ** 40,
}
const RATE = /^(\d+(?:\.\d+)?)(?:\/(s|m|h))?$/
const RATE_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 }

/** A Kubernetes quantity of bytes (`500Mi`, `1G`, `1048576`), undefined when it is none. */
export function parseBytes(text: string): number | undefined {
  const found = BYTES.exec(text)
  if (found === null) return undefined
  const bytes = Math.floor(Number(found[1]) * (BYTE_UNITS[found[2] as string] as number))
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Events a second from `50`, `50/s`, `3000/m` or `10/h`. */
export function parseRate(text: string): number | undefined {
  const found = RATE.exec(text)
  return found === null ? undefined : Number(found[1]) / (RATE_SECONDS[found[2] ?? 's'] as number)
}

/** A whole decimal number without sign, undefined when it is none. */
export function parseWhole(text: string): number | undefined {
  const n = /^\d{1,15}$/.test(text) ? Number(text) : undefined
  return n
}

/** A plain decimal number, undefined when it is none: no exponent, no NaN, no infinity. */
export function parseDecimal(text: string): number | undefined {
  return /^-?\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : undefined
}
