import type { Reporter, TestModule } from 'vitest/node'

/** Ends a run with its seed, the ten slowest files and the plain line `N passed, N failed`. */
export default class PlainSummary implements Reporter {
  #seed: number | string = ''

  onInit(vitest: { config: { sequence: { seed?: number } } }): void {
    this.#seed = vitest.config.sequence.seed ?? ''
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    let passed = 0
    let failed = unhandled.length
    let skipped = 0
    const slow: { file: string; ms: number }[] = []
    for (const module of modules) {
      slow.push({ file: module.relativeModuleId, ms: module.diagnostic().duration })
      let tests = 0
      for (const test of module.children.allTests()) {
        tests++
        const state = test.result().state
        if (state === 'passed') passed++
        else if (state === 'failed') failed++
        else {
          skipped++
          console.log(`skipped: ${module.relativeModuleId} > ${test.fullName}`)
        }
      }
      if (tests === 0 || (module.state() === 'failed' && module.errors().length > 0)) failed++
    }
    slow.sort((a, b) => b.ms - a.ms)
    console.log(`\nseed ${this.#seed}, slowest files:`)
    for (const { file, ms } of slow.slice(0, 10)) console.log(`  ${(ms / 1000).toFixed(1)} s  ${file}`)
    console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  }
}
