/** One measured figure, and what it should reach. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly target?: { readonly is: '<=' | '>='; readonly bound: number }
}

export interface Scenario {
  readonly name: string
  readonly about: string
  /** `count` scales the work; the default of the scenario when 0. `only`: of what it compares, none = all. */
  run(count: number, only: readonly string[]): Promise<readonly Figure[]>
}

export function reached(f: Figure): boolean | null {
  if (f.target === undefined) return null
  return f.target.is === '<=' ? f.value <= f.target.bound : f.value >= f.target.bound
}

export function round(n: number): number {
  return n >= 100 ? Math.round(n) : n >= 10 ? Math.round(n * 10) / 10 : Math.round(n * 1_000) / 1_000
}

export function print(scenario: Scenario, figures: readonly Figure[], check: boolean): void {
  console.log(`\n${scenario.name}: ${scenario.about}`)
  for (const f of figures) {
    const verdict = reached(f)
    const target =
      f.target === undefined
        ? ''
        : `  target ${f.target.is} ${f.target.bound}${check ? (verdict === true ? '  pass' : '  FAIL') : ''}`
    console.log(`  ${f.name.padEnd(64)} ${String(round(f.value)).padStart(10)} ${f.unit}${target}`)
  }
}
