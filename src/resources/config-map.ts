import { z } from 'zod'
import { defineKind, version } from './kind.ts'
import type { ConfigMapSpec } from './resource.ts'

/** ConfigMap: values for the environment of Services, and Knative's own settings. */
export const configMap = defineKind<ConfigMapSpec>({
  kind: 'ConfigMap',
  plural: 'configmaps',
  versions: {
    v1: version(
      {
        data: z.record(z.string(), z.string('must be a string: put it in quotes')).nullish(),
        binaryData: z.record(z.string(), z.string()).nullish(),
        immutable: z.boolean().nullish(),
      },
      ({ data }): ConfigMapSpec => ({ data: data ?? {} }),
    ),
  },
})
