import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { parseFor } from '../../src/cli/command.ts'
import { schema } from '../../src/cli/schema.ts'
import { validate } from '../../src/cli/validate.ts'
import type { Command } from '../../src/cli/command.ts'

let dir = ''
let out = ''
let err = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-validate-'))
  out = ''
  err = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text)
    return true
  })
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text)
    return true
  })
})
afterEach(() => {
  vi.restoreAllMocks()
  rmSync(dir, { recursive: true })
})

function file(name: string, text: string): string {
  const path = join(dir, name)
  writeFileSync(path, text)
  return path
}

async function call(command: Command, ...argv: readonly string[]): Promise<number> {
  const parsed = parseFor(command, argv)
  return parsed === 'help' ? -1 : command.run(parsed)
}

const SERVICE =
  'apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: s}\nspec: {template: {spec: {containers: [{image: shown}]}}}'

test('sound manifests are exit 0', async () => {
  const good = file('good.yaml', 'apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}')
  expect(await call(validate, '-f', good)).toBe(0)
  expect([out, err]).toEqual(['1 resource valid\n', ''])
})

test('faults of all files are exit 1, one a line, in the order of the files', async () => {
  const a = file('a.yaml', 'apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: A}\nspec: {x: 1}')
  const b = file('b.yaml', 'a: [')
  expect(await call(validate, '-f', a, '-f', b)).toBe(1)
  expect(out.split('\n').map((line) => line.slice(0, line.indexOf(': ', dir.length)))).toEqual([`${a}:3`, `${a}:4`, `${b}:1`, ''])
  expect(err).toBe('3 faults\n')
})

test('an image without a command is told, and is a fault only where somebody asks whether it runs here', async () => {
  const path = file('s.yaml', SERVICE)
  expect(await call(validate, '-f', path)).toBe(0)
  expect(err).toMatch(/^to run it here: .*s\.yaml:4: Service default\/s: .*--images FILE/)
  expect(await call(validate, '-f', path, '--processes')).toBe(1)
  const images = file('images.txt', '- {image: shown, command: [node, shown.js]}')
  expect(await call(validate, '-f', path, '--images', images)).toBe(0)
  const wrong = file('wrong.txt', '- {image: shown}')
  expect(await call(validate, '-f', path, '--images', wrong)).toBe(1)
  expect(out).toContain('wrong.txt:1: [0].command: is missing, must be a list')
})

test('what is accepted but leads nowhere is told', async () => {
  const path = file(
    't.yaml',
    'apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {broker: gone, subscriber: {uri: http://a.example}}',
  )
  expect(await call(validate, path)).toBe(0)
  expect(err).toBe('not resolved: Trigger default/t: spec.broker: there is no Broker default/gone\n')
})

test('-o json holds the same', async () => {
  const path = file('s.yaml', SERVICE.replace('name: s', 'name: s, x: 1'))
  expect(await call(validate, '-f', path, '-o', 'json')).toBe(1)
  expect(JSON.parse(out)).toMatchObject({
    valid: false,
    resources: 0,
    faults: [{ file: path, line: 3, resource: 'Service default/s', path: 'metadata.x' }],
  })
})

test('nothing to validate and an unknown format are wrong usage', async () => {
  await expect(call(validate)).rejects.toThrow('nothing to validate; name files or folders with -f PATH')
  await expect(call(validate, '-f', dir, '-o', 'xml')).rejects.toThrow('--output is "xml"; it must be text or json')
  await expect(call(validate, '-f', dir, '--images', join(dir, 'gone'))).rejects.toThrow(/cannot be read: ENOENT/)
})

test('schema prints one kind or all, and says what there is', async () => {
  expect(await call(schema, 'trigger')).toBe(0)
  expect(JSON.parse(out)).toMatchObject({ title: 'Trigger', properties: { apiVersion: { const: 'eventing.knative.dev/v1' } } })
  out = ''
  expect(await call(schema)).toBe(0)
  expect(out).toMatch(/^Broker +eventing\.knative\.dev\/v1, /)
  await expect(call(schema, 'pod')).rejects.toThrow(/^the kind pod is not served; there is Broker, Channel, /)
  await expect(call(schema, 'broker', '--api-version', 'x/v1')).rejects.toThrow(
    /^broker of x\/v1 is not served; there is eventing/,
  )
})
