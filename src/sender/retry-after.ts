const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const IMF = /^[a-z]{3}, (\d{2}) ([a-z]{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) gmt$/
const RFC850 = /^[a-z]{6,9}, (\d{2})-([a-z]{3})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) gmt$/
const ASCTIME = /^[a-z]{3} ([a-z]{3}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/

/**
 * How long the server asks to wait, in ms from `wallMs`: whole seconds or one of the three forms of an HTTP date; 0 for a
 * date in the past, undefined for anything else. RFC 9110 §10.2.3, §5.6.7
 */
export function retryAfterMs(value: string, wallMs: number): number | undefined {
  const text = value.trim()
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1000
  const atMs = httpDateMs(text, wallMs)
  return atMs === undefined ? undefined : Math.max(0, atMs - wallMs)
}

/** `Date.parse` would take forms that are no HTTP date, and reads the asctime form as local time. */
function httpDateMs(value: string, wallMs: number): number | undefined {
  const text = value.toLowerCase()
  const imf = IMF.exec(text)
  if (imf) return utc(imf[3], imf[2], imf[1], imf[4], imf[5], imf[6])
  const old = RFC850.exec(text)
  if (old) {
    // A two-digit year that would be more than 50 years ahead means the century before. RFC 9110 §5.6.7
    const thisYear = new Date(wallMs).getUTCFullYear()
    let year = thisYear - (thisYear % 100) + Number(old[3])
    if (year > thisYear + 50) year -= 100
    return utc(String(year), old[2], old[1], old[4], old[5], old[6])
  }
  const asc = ASCTIME.exec(text)
  if (asc) return utc(asc[6], asc[1], asc[2], asc[3], asc[4], asc[5])
  return undefined
}

function utc(...[year, month, day, h, m, s]: (string | undefined)[]): number | undefined {
  const monthIndex = MONTHS.indexOf(month ?? '')
  if (monthIndex < 0) return undefined
  const ms = Date.UTC(Number(year), monthIndex, Number(day), Number(h), Number(m), Number(s))
  return new Date(ms).getUTCDate() === Number(day) && Number(h) < 24 && Number(m) < 60 ? ms : undefined
}
