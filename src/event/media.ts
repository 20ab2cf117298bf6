/** What the content type of an event says about its data. */
export interface MediaType {
  /** `type/subtype` in lower case, without parameters. */
  readonly essence: string
  /** Lower case, '' = not given. */
  readonly charset: string
  /** The data is JSON: `…/json`, `…+json`. */
  readonly json: boolean
  /** The data is text that a person would want to see as text in the JSON format. */
  readonly text: boolean
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const MEDIA_TYPE = new RegExp(`^(${TOKEN}/${TOKEN})[ \\t]*(?:;[\\t\\x20-\\x7e]*)?$`)
const CHARSET = /;[ \t]*charset[ \t]*=[ \t]*"?([^";\s]+)"?/i
const TEXT_SUBTYPES = /^(?:text\/.*|application\/(?:xml|yaml|x-yaml|javascript|graphql|x-www-form-urlencoded)|.*\+(?:xml|yaml))$/

/** Content types come from outside, so the table has a bound; when it is full it starts anew. */
const MOST_KEPT = 256
const kept = new Map<string, MediaType | null>()

/** Parsed once a spelling; null = no media type by RFC 2046. */
export function mediaTypeOf(contentType: string): MediaType | null {
  const known = kept.get(contentType)
  if (known !== undefined) return known
  const media = parse(contentType)
  if (kept.size >= MOST_KEPT) kept.clear()
  kept.set(contentType, media)
  return media
}

function parse(contentType: string): MediaType | null {
  const essence = MEDIA_TYPE.exec(contentType)?.[1]?.toLowerCase()
  if (essence === undefined) return null
  const charset = CHARSET.exec(contentType)?.[1]?.toLowerCase() ?? ''
  const json = essence.endsWith('/json') || essence.endsWith('+json')
  return { essence, charset, json, text: TEXT_SUBTYPES.test(essence) || charset.startsWith('utf-8') }
}

export function isJsonType(contentType: string | undefined): boolean {
  return contentType !== undefined && mediaTypeOf(contentType)?.json === true
}

/** How a content type asks to be read. `format` is '' for the bare `application/cloudevents`. */
export interface ContentForm {
  readonly mode: 'not' | 'structured' | 'batch'
  readonly format: string
  /** '' or UTF-8: what the formats are written in. */
  readonly utf8: boolean
}

export const NOT_A_FORM: ContentForm = { mode: 'not', format: '', utf8: true }
const STRUCTURED = 'application/cloudevents'
const BATCH = 'application/cloudevents-batch'

/** Case does not matter and parameters are not looked at but for the charset. CloudEvents HTTP 1.0.2 §3.2, §3.3 */
export function contentForm(contentType: string | undefined): ContentForm {
  // Asked for every event: most content types are told apart by their length or the first letters.
  if (contentType === undefined || contentType.length < STRUCTURED.length) return NOT_A_FORM
  const media = mediaTypeOf(contentType)
  if (media === null || !media.essence.startsWith(STRUCTURED)) return NOT_A_FORM
  const plus = media.essence.indexOf('+')
  const head = plus < 0 ? media.essence : media.essence.slice(0, plus)
  if (head !== STRUCTURED && head !== BATCH) return NOT_A_FORM
  const utf8 = media.charset === '' || media.charset === 'utf-8' || media.charset === 'utf8' || media.charset === 'us-ascii'
  return { mode: head === BATCH ? 'batch' : 'structured', format: plus < 0 ? '' : media.essence.slice(plus + 1), utf8 }
}
