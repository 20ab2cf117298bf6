/** A number as a reason shows it: one digit behind the point, none where it is whole. */
export function inWords(n: number): string {
  return String(Math.round(n * 10) / 10)
}
