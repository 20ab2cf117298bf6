/** Below this product of lengths the engine's own search cannot take long, whatever the texts. */
const HARMLESS = 1 << 16

/**
 * Where `needle` stands in `text` at or after `from`, -1 = nowhere; as `indexOf`, but never worse than linear: the
 * engine's search takes the product of both lengths on hostile texts ('aaaa…' in 'aaaa…'), seconds on 1 MiB.
 */
export function indexOfText(text: string, needle: string, from = 0): number {
  if (needle.length < 2 || needle.length * (text.length - from) <= HARMLESS) return text.indexOf(needle, from)
  return knuthMorrisPratt(text, needle, from)
}

function knuthMorrisPratt(text: string, needle: string, from: number): number {
  const border = borders(needle)
  let matched = 0
  for (let i = from; i < text.length; i++) {
    const code = text.charCodeAt(i)
    while (matched > 0 && needle.charCodeAt(matched) !== code) matched = border[matched - 1]!
    if (needle.charCodeAt(matched) === code) matched++
    if (matched === needle.length) return i - needle.length + 1
  }
  return -1
}

/** For every beginning of the needle the length of its longest proper beginning that is also its end. */
function borders(needle: string): Int32Array {
  const border = new Int32Array(needle.length)
  let length = 0
  for (let i = 1; i < needle.length; i++) {
    const code = needle.charCodeAt(i)
    while (length > 0 && needle.charCodeAt(length) !== code) length = border[length - 1]!
    if (needle.charCodeAt(length) === code) length++
    border[i] = length
  }
  return border
}
