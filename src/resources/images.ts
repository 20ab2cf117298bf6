import { parseDocument } from 'yaml'
import { z } from 'zod'
import { type ManifestFault, pathText } from './faults.ts'
import { faultsOf, mustBe } from './issues.ts'
import { parseText } from './load.ts'

/** One entry of `--images`: which images run as which command. */
export interface ImageMapping {
  /** `*` stands for anything, `?` for one character. */
  readonly image: string
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** '' = the gateway's own. */
  readonly workingDir: string
}

const scalar = z.union([z.string(), z.number(), z.boolean()], 'must be a string')
const ENTRY = z.strictObject({
  image: z.string().min(1),
  command: z.array(z.string().min(1)).min(1),
  env: z.union([z.record(z.string(), scalar), z.array(z.strictObject({ name: z.string().min(1), value: scalar }))]).optional(),
  workingDir: z.string().optional(),
})
const LIST = z.array(ENTRY)

/** The text of an `--images` file: a YAML list of `{image, command, env, workingDir}`. */
export function parseImages(
  text: string,
  file: string,
): { readonly images: readonly ImageMapping[]; readonly faults: readonly ManifestFault[] } {
  const whole = parseDocument(text, { logLevel: 'silent', prettyErrors: false })
  if (whole.errors.length === 0 && whole.contents === null) return { images: [], faults: [] }
  const { documents, faults } = parseText(text, file)
  const document = documents[0]
  if (faults.length > 0 || document === undefined) return { images: [], faults }
  const parsed = LIST.safeParse(document.value, { error: mustBe })
  if (!parsed.success) {
    return {
      images: [],
      faults: faultsOf(parsed.error.issues, document.value, LIST, false).map((f) => ({
        file,
        line: document.lineOf(f.path),
        resource: '',
        path: pathText(f.path),
        message: f.message,
      })),
    }
  }
  return { images: parsed.data.map(mapping), faults: [] }
}

function mapping(e: z.infer<typeof ENTRY>): ImageMapping {
  const pairs = Array.isArray(e.env) ? e.env.map((v) => [v.name, v.value] as const) : Object.entries(e.env ?? {})
  return {
    image: e.image,
    command: e.command,
    env: Object.fromEntries(pairs.map(([name, value]) => [name, String(value)])),
    workingDir: e.workingDir ?? '',
  }
}

/** The first entry that fits the image as written, or without its tag and digest. */
export function mappingFor(images: readonly ImageMapping[], image: string): ImageMapping | undefined {
  const bare = image.replace(/@.*$/, '').replace(/:[^/:]*$/, '')
  return images.find((m) => globMatches(m.image, image) || globMatches(m.image, bare))
}

function globMatches(glob: string, text: string): boolean {
  const pattern = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replace(/\?/g, '.')
  return new RegExp(`^${pattern}$`).test(text)
}
