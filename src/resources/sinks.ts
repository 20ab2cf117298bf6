import type { Key } from '../contract/ids.ts'
import type { LimitsPlan, RoutePlan } from '../contract/plan.ts'
import { NO_LIMITS } from './annotations.ts'
import type { Draft } from './draft.ts'
import type { RefSpec, SinkSpec } from './fields.ts'
import type { ChannelSpec } from './channel-template.ts'
import { keyOf, type Resource } from './resource.ts'
import { channelWanted } from './templates.ts'

/** A Destination in its newest spelling. */
export interface Sink {
  readonly ref: Ref | null
  /** '' = none; relative to the ref's address when there is one. */
  readonly uri: string
  readonly caCerts: string
}

export interface Ref {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  /** '' = that of whoever refers. */
  readonly namespace: string
}

/** The role a sink plays: names the condition, the target's key and the sink in `sluice get`. */
export type Role = 'subscriber' | 'reply' | 'deadLetterSink' | 'sink' | 'filter'

const CONDITIONS: Readonly<Record<Role, string>> = {
  subscriber: 'SubscriberResolved',
  reply: 'ReplyResolved',
  deadLetterSink: 'DeadLetterSinkResolved',
  sink: 'SinkProvided',
  filter: 'FilterResolved',
}

export function sinkOf(s: SinkSpec | undefined): Sink | null {
  if (s === undefined) return null
  const kind = s.kind ?? s.deprecatedKind
  const name = s.name ?? s.deprecatedName
  const flat =
    kind === undefined || name === undefined
      ? null
      : {
          apiVersion: s.apiVersion ?? s.deprecatedAPIVersion ?? '',
          kind,
          name,
          namespace: s.namespace ?? s.deprecatedNamespace ?? '',
        }
  const uri = s.uri ?? (s.dnsName === undefined ? '' : `http://${s.dnsName}`)
  return { ref: s.ref === undefined ? flat : refOf(s.ref), uri, caCerts: s.CACerts ?? '' }
}

export function refOf(r: RefSpec): Ref {
  return { apiVersion: r.apiVersion ?? r.group ?? '', kind: r.kind, name: r.name, namespace: r.namespace ?? '' }
}

export interface SinkOptions {
  /** Key of the target, e.g. `trigger/default/orders#subscriber`. */
  readonly key: Key
  readonly role: Role
  /** Where the ref's namespace is not said. */
  readonly namespace: string
  /** Host header to send instead of the URI's, '' = the URI's. */
  readonly host?: string
  readonly limits?: LimitsPlan
  /** Where in the resource it stands; names the sink in `sluice get`. */
  readonly at: string
}

/** Lowers a sink to a target of the plan; null and a note in the resource's status when it leads nowhere. */
export function lowerSink(draft: Draft, owner: Resource, sink: Sink, o: SinkOptions): Key | null {
  const host = o.host ?? ''
  const found = sink.ref === null ? relative(sink.uri, '') : addressOf(draft, sink.ref, o.namespace, sink.uri)
  if ('why' in found) {
    draft.unresolved(owner.key, CONDITIONS[o.role], 'NotFound', `${o.at}: ${found.why}`)
    return null
  }
  const url = new URL(found.url)
  draft.sink(owner.key, sinkName(o), found.url)
  const to = whoseIs(draft, url, host)
  if (to === 'nobody') {
    const asked = `${host === '' ? url.host : host}${url.pathname}`
    const why = `is this gateway, but it has no broker, channel or service at ${asked}`
    draft.unresolved(owner.key, CONDITIONS[o.role], 'NotFound', `${o.at}: ${found.url} ${why}`)
    return null
  }
  if (to === null || to.kind === 'callback') {
    return draft.target(owner, {
      kind: 'uri',
      key: o.key,
      uri: found.url,
      host,
      caCerts: sink.caCerts,
      limits: o.limits ?? NO_LIMITS,
    })
  }
  if (to.kind === 'target') return to.target
  if (to.kind === 'stream') return draft.target(owner, { kind: 'stream', key: o.key, stream: to.stream })
  return draft.target(owner, { kind: 'service', key: o.key, service: to.service, tag: to.tag, path: url.pathname + url.search })
}

/** `subscriber`, `deadLetterSink`, `steps[0]`, `branches[1].reply`, … */
function sinkName(o: SinkOptions): string {
  return o.at
    .replace(/^spec\./, '')
    .replace(/(^|\.)delivery\./, '$1')
    .replace(/ .*$/, '')
}

/** The stream or target of ours that a URL means, null when it is somebody else's. */
function whoseIs(draft: Draft, url: URL, host: string): RoutePlan['to'] | 'nobody' | null {
  const name = (host === '' ? url.hostname : host.replace(/:\d+$/, '')).toLowerCase()
  if (isSelf(draft.settings.self, url)) return draft.routes.find(name, url.pathname)?.to ?? 'nobody'
  // A name of the cluster's kind that one of our routes carries can only mean that route: here it has no other address.
  const usualPort = url.protocol === 'http:' && url.port === ''
  return host === '' && usualPort ? (draft.routes.findHost(name, url.pathname)?.to ?? null) : null
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])
const EVERYWHERE = new Set(['0.0.0.0', '[::]'])

function isSelf(self: readonly string[], url: URL): boolean {
  return self.some((entry) => {
    const text = /^https?:\/\//i.test(entry) ? entry : `http://${entry}`
    if (!URL.canParse(text)) return false
    const own = new URL(text)
    if (portOf(own) !== portOf(url)) return false
    if (own.hostname === url.hostname) return true
    const here = LOOPBACK.has(url.hostname) || EVERYWHERE.has(url.hostname)
    return here && (LOOPBACK.has(own.hostname) || EVERYWHERE.has(own.hostname))
  })
}

function portOf(url: URL): string {
  return url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
}

/** The cluster URL of what a ref names, with `uri` resolved against it. */
function addressOf(draft: Draft, ref: Ref, fallback: string, uri: string): { readonly url: string } | { readonly why: string } {
  const namespace = ref.namespace === '' ? fallback : ref.namespace
  const group = ref.apiVersion.includes('/') ? (ref.apiVersion.split('/')[0] as string) : ref.apiVersion
  if (ref.kind === 'Service' && !group.endsWith('knative.dev')) {
    return relative(`http://${ref.name}.${namespace}.svc.cluster.local`, uri)
  }
  const r = findReferred(draft, ref.kind, namespace, ref.name)
  if (r === undefined) return { why: `there is no ${ref.kind} ${namespace}/${ref.name}` }
  const base = draft.clusterUrl(r.key)
  return base === '' ? { why: `${ref.kind} ${namespace}/${ref.name} takes no events` } : relative(base, uri)
}

/** A Channel has a backing channel of the same name in Knative, which people refer to as well. */
export function findReferred(draft: Draft, kind: string, namespace: string, name: string): Resource | undefined {
  const found = draft.resource(keyOf(kind, namespace, name))
  if (found !== undefined) return found
  const front = draft.resource(keyOf('Channel', namespace, name)) as Resource<ChannelSpec> | undefined
  return front !== undefined && channelWanted(draft, front, front.spec.channelTemplate).kind === kind ? front : undefined
}

function relative(base: string, uri: string): { readonly url: string } | { readonly why: string } {
  if (uri === '') return URL.canParse(base) ? { url: base } : { why: `${base} is no URL` }
  return URL.canParse(uri, base) ? { url: new URL(uri, base).href } : { why: `${uri} cannot be resolved against ${base}` }
}
