import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { post, startGateway, type RunningGateway } from '../gateway.ts'
import { until } from '../until.ts'

const examples = join(import.meta.dirname, '..', '..', 'examples')
const open: RunningGateway[] = []
afterEach(async () => {
  for (const g of open.splice(0)) await g.stop()
})
async function run(manifest: string): Promise<RunningGateway> {
  const g = await startGateway({
    manifests: [],
    args: ['-f', join(examples, manifest), '--images', join(examples, 'images.yaml')],
  })
  open.push(g)
  return g
}
const displayed = (g: RunningGateway): string[] =>
  g.log.flatMap((line) => /event \S+ type=.*data=.*/.exec(line.replaceAll('\\"', '"')) ?? [])

test('examples/sequence: three services append one after another, the last answer is displayed', async () => {
  const g = await run('sequence/sequence.yaml')
  expect(await post(`${g.listen}/default/steps`, 'hello-1', {}, '{"message":"Hello"}')).toBe(202)
  await until('it is displayed', () => displayed(g).length > 0)
  expect(displayed(g)[0]).toContain(
    'event hello-1 type=sequence.step.done source=/third data={"message":"Hello - handled by 0 - handled by 1 - handled by 2"}',
  )
})

test('examples/parallel: odd and even numbers take their branches and meet again', async () => {
  const g = await run('parallel/parallel.yaml')
  for (const n of [1, 2, 3]) expect(await post(`${g.listen}/default/odd-even`, `n${n}`, {}, `{"n":${n}}`)).toBe(202)
  await until('all are displayed', () => displayed(g).length === 3)
  const lines = displayed(g).toSorted()
  expect(lines[0]).toContain('event n1 type=parallel.branch.done source=/odd data={"n":1,"message":"this is odd!"}')
  expect(lines[1]).toContain('event n2 type=parallel.branch.done source=/even data={"n":2,"message":"we are even!"}')
  expect(lines[2]).toContain('event n3 type=parallel.branch.done source=/odd data={"n":3,"message":"this is odd!"}')
})
