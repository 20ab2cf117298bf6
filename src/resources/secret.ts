import { z } from 'zod'
import { Secret } from '../runtime/secret.ts'
import { defineKind, version } from './kind.ts'
import type { SecretSpec } from './resource.ts'

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const base64 = z
  .string('must be text in base64')
  .refine((t) => BASE64.test(t.replace(/\s/g, '')), 'must be base64; plain text belongs in stringData')

/** Secret: credentials and environment that no log, status or fault ever shows. */
export const secret = defineKind<SecretSpec>({
  kind: 'Secret',
  plural: 'secrets',
  secret: true,
  versions: {
    v1: version(
      {
        data: z.record(z.string(), base64).nullish(),
        stringData: z.record(z.string(), z.string('must be a string: put it in quotes')).nullish(),
        type: z.string().optional(),
        immutable: z.boolean().nullish(),
      },
      ({ data, stringData }): SecretSpec => {
        const decoded = Object.entries(data ?? {}).map(
          ([k, v]) => [k, new Secret(Buffer.from(v, 'base64').toString('utf8'))] as const,
        )
        const plain = Object.entries(stringData ?? {}).map(([k, v]) => [k, new Secret(v)] as const)
        return { data: Object.fromEntries([...decoded, ...plain]) }
      },
    ),
  },
  view: (spec) => ({ keys: Object.keys(spec.data) }),
})
