import type { ProcessPlan } from '../contract/plan.ts'
import { Secret } from '../runtime/secret.ts'
import type { Container, EnvEntry } from './container.ts'
import type { Draft } from './draft.ts'
import type { Path } from './faults.ts'
import { mappingFor } from './images.ts'
import type { Resource } from './resource.ts'

const PROBE_PERIOD_MS = 100

/**
 * A container as a process of this machine: its `command`/`args`, or, for an image alone, what `--images` maps it to.
 * null = cannot be started; the fault or the resource's status says why.
 */
export function processPlan(draft: Draft, r: Resource, container: Container, at: Path): ProcessPlan | null {
  const own = container.command ?? []
  const args = container.args ?? []
  const image = container.image ?? ''
  const mapping = own.length > 0 ? undefined : mappingFor(draft.settings.images, image)
  if (own.length === 0 && mapping === undefined) {
    const what = image === '' ? 'has no image and no command' : `the image ${image} has no command here`
    const entry = `- {image: "${image === '' ? 'NAME' : image}", command: [node, server.js]}`
    r.complain(
      image === '' ? at : [...at, 'image'],
      `${what}; give the container a command, or map the image with --images FILE, a list such as ${entry}`,
    )
    return null
  }
  const env = new Environment(draft, r, at)
  for (const [name, value] of Object.entries(mapping?.env ?? {})) env.set(name, value)
  env.addFrom(container.envFrom ?? [])
  env.add(container.env ?? [])
  const command = env.expandCommand([...(mapping?.command ?? own), ...args])
  if (env.missing !== '' || command === null) {
    if (env.missing !== '') draft.unresolved(r.key, 'ContainerHealthy', 'ConfigMissing', env.missing)
    return null
  }
  return { command, env: env.list(), workingDir: container.workingDir ?? mapping?.workingDir ?? '', ...readiness(container) }
}

function readiness(c: Container): Pick<ProcessPlan, 'readiness' | 'readinessPeriodMs' | 'initialDelayMs'> {
  const probe = c.readinessProbe
  const http = probe?.httpGet
  const periodMs = (probe?.periodSeconds ?? 0) * 1000
  return {
    readiness:
      http === undefined
        ? { kind: 'tcp' }
        : { kind: 'http', path: http.path ?? '/', headers: (http.httpHeaders ?? []).map((h) => [h.name, h.value] as const) },
    // 0 and nothing are Knative's "as often as is sensible".
    readinessPeriodMs: periodMs === 0 ? PROBE_PERIOD_MS : periodMs,
    initialDelayMs: (probe?.initialDelaySeconds ?? 0) * 1000,
  }
}

type Value = string | Secret

/** The environment in Kubernetes' order: `envFrom` first, `env` after, a later name over an earlier one, `$(NAME)` expanded. */
class Environment {
  readonly #values = new Map<string, Value>()
  readonly #draft: Draft
  readonly #r: Resource
  readonly #at: Path
  /** What is not there though it must be: one sentence, '' = nothing. */
  missing = ''

  constructor(draft: Draft, r: Resource, at: Path) {
    this.#draft = draft
    this.#r = r
    this.#at = at
  }

  set(name: string, value: Value): void {
    this.#values.set(name, value)
  }

  list(): readonly (readonly [string, Value])[] {
    return [...this.#values]
  }

  addFrom(sources: NonNullable<Container['envFrom']>): void {
    for (const s of sources) {
      const ref = s.configMapRef ?? s.secretRef
      if (ref === undefined) continue
      const data = this.#data(s.secretRef === undefined ? 'ConfigMap' : 'Secret', ref.name, ref.optional === true)
      for (const [key, value] of Object.entries(data ?? {})) {
        // Kubernetes leaves out what is no name of a variable.
        if (/^[-._a-zA-Z][-._a-zA-Z0-9]*$/.test(key)) this.set(`${s.prefix ?? ''}${key}`, value)
      }
    }
  }

  add(entries: readonly EnvEntry[]): void {
    for (const [i, e] of entries.entries()) {
      const from = e.valueFrom
      if (from === null || from === undefined) {
        this.set(e.name, this.#expand(e.value ?? ''))
        continue
      }
      const ref = from.configMapKeyRef ?? from.secretKeyRef
      if (ref !== undefined) {
        const kind = from.configMapKeyRef === undefined ? 'Secret' : 'ConfigMap'
        const value = this.#data(kind, ref.name, ref.optional === true)?.[ref.key]
        if (value !== undefined) this.set(e.name, value)
        else if (ref.optional !== true)
          this.#miss(`${kind} ${this.#r.namespace}/${ref.name} has no key ${ref.key}, which env ${e.name} needs`)
      } else if (from.fieldRef?.fieldPath === 'metadata.namespace') {
        this.set(e.name, this.#r.namespace)
      } else {
        const message = 'a process pod has only configMapKeyRef, secretKeyRef and fieldRef metadata.namespace'
        this.#r.complain([...this.#at, 'env', i, 'valueFrom'], message)
      }
    }
  }

  /** null and a fault where a secret would stand in the command line, which every user of the machine can read. */
  expandCommand(words: readonly string[]): readonly string[] | null {
    const out: string[] = []
    for (const word of words) {
      const text = this.#expand(word)
      if (text instanceof Secret) {
        this.#r.complain(
          this.#at,
          `the command reads a Secret in ${word}, and command lines are public; read the environment instead`,
        )
        return null
      }
      out.push(text)
    }
    return out
  }

  #expand(text: string): Value {
    let secret = false
    const expanded = text.replace(/\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)/g, (whole, name: string | undefined) => {
      if (name === undefined) return '$'
      const value = this.#values.get(name)
      if (value instanceof Secret) {
        secret = true
        return value.reveal()
      }
      return value ?? whole
    })
    return secret ? new Secret(expanded) : expanded
  }

  #data(kind: 'ConfigMap' | 'Secret', name: string, optional: boolean): Readonly<Record<string, Value>> | undefined {
    const data = kind === 'Secret' ? this.#draft.secret(this.#r.namespace, name) : this.#draft.configMap(this.#r.namespace, name)
    if (data === undefined && !optional)
      this.#miss(`there is no ${kind} ${this.#r.namespace}/${name}, which the environment needs`)
    return data
  }

  #miss(why: string): void {
    if (this.missing === '') this.missing = why
  }
}
