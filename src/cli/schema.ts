import { apiVersionsOf, jsonSchemaOf, servedKinds } from '../resources/schema.ts'
import { Fault } from '../runtime/errors.ts'
import type { Command } from './command.ts'

/** The kinds, or the JSON Schema of one, from the very definitions that validate. */
export const schema: Command = {
  name: 'schema',
  about: 'Print the JSON Schema of a kind, or the kinds that are served when none is named.',
  usage: '[KIND]',
  options: {
    'api-version': { type: 'string', value: 'GROUP/VERSION', about: 'which spelling; the newest where it is not given' },
    output: { type: 'string', short: 'o', value: 'FORMAT', about: 'json, or text for the list of kinds', default: 'text' },
  },
  run(args) {
    const [kind] = args.words
    if (kind === undefined) {
      const kinds = servedKinds()
      const text =
        args.text('output') === 'json'
          ? `${JSON.stringify(kinds, null, 2)}\n`
          : kinds.map((k) => `${k.kind.padEnd(16)} ${k.apiVersions.join(', ')}\n`).join('')
      process.stdout.write(text)
      return Promise.resolve(0)
    }
    const found = jsonSchemaOf(kind, args.text('api-version'))
    if (found === undefined) {
      const versions = apiVersionsOf(kind)
      const known = versions.length === 0 ? servedKinds().map((k) => k.kind) : versions
      const what = versions.length === 0 ? `the kind ${kind}` : `${kind} of ${args.text('api-version')}`
      throw new Fault('config.usage', `${what} is not served; there is ${known.join(', ')}`)
    }
    process.stdout.write(`${JSON.stringify(found, null, 2)}\n`)
    return Promise.resolve(0)
  },
}
