import { defineConfig } from 'vitest/config'

const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000)

/**
 * Two projects: `unit` runs in parallel and starts no process; `end-to-end` runs its files in sequence on shared real
 * servers. The order is shuffled; the reporter prints the seed, TEST_SEED repeats it.
 */
export default defineConfig({
  test: {
    sequence: { shuffle: { files: true, tests: false }, seed },
    reporters: ['default', './test/reporter.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/end-to-end/**'],
          testTimeout: 75_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'end-to-end',
          include: ['test/end-to-end/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
          globalSetup: ['test/servers/setup.ts'],
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
