import type { Key } from '../contract/ids.ts'
import type { StreamPlan } from '../contract/plan.ts'
import { type Draft, OWN } from './draft.ts'
import { type ChannelTemplate, type ChannelWanted, complainIn, readTemplate } from './channel-template.ts'
import type { RefSpec } from './fields.ts'
import { type Complain, keyOf, type Resource } from './resource.ts'
import { classOfChannel, standingOf, STREAM_CLASSES } from './stream-classes.ts'
import { stand, streamPlan } from './streams.ts'

const IN_MEMORY = 'InMemoryChannel'

/** What a template asks for; without one, or where it names no more than a Channel, what `default-ch-webhook` has for the namespace. */
export function channelWanted(draft: Draft, owner: Resource, template: ChannelTemplate | undefined): ChannelWanted {
  const complain: Complain = (path, message) => owner.complain(['spec', 'channelTemplate', ...path], message)
  if (template !== undefined && template.kind !== 'Channel') return { ...template, spec: template.spec, complain }
  const { cluster, namespaces } = draft.config.channels
  return namespaces.get(owner.namespace) ?? cluster ?? { kind: IN_MEMORY, spec: undefined, complain }
}

/** The stream of a channel that was asked for. null = the resource's status or faults say why not. */
export function channelStream(
  draft: Draft,
  owner: Resource,
  wanted: ChannelWanted,
  channel: { readonly key: Key; readonly name: string },
): StreamPlan | null {
  if (wanted.kind === IN_MEMORY) {
    stand(draft, owner, channel.key, OWN)
    return streamPlan(channel.key, owner.annotations, draft)
  }
  const found = classOfChannel(wanted.kind)
  if (found === undefined) {
    const kinds = [IN_MEMORY, ...STREAM_CLASSES.map((c) => c.channelKind).filter((kind) => kind !== '')]
    wanted.complain(['kind'], `is "${wanted.kind}", must be one of ${kinds.join(', ')}`)
    return null
  }
  stand(draft, owner, channel.key, standingOf(found))
  return found.plan(owner, draft, {
    ...channel,
    role: 'channel',
    spec: wanted.spec,
    complain: (path, message) => wanted.complain(['spec', ...path], message),
    config: null,
  })
}

/** Knative's own ConfigMap for Brokers that stand on channels, by its names over the years: where it is not given, nothing was changed in it. */
const DEFAULTS = ['config-br-default-channel', 'imc-channel']
/** `channelTemplateSpec` is the older spelling. */
const TEMPLATE_KEYS = ['channel-template-spec', 'channelTemplateSpec']

/** The channel of a Broker, as the ConfigMap of its `spec.config` says. null = the Broker's status or the ConfigMap's faults say why not. */
export function brokerChannelWanted(draft: Draft, owner: Resource, config: RefSpec | undefined): ChannelWanted | null {
  const { kind, name } = config ?? { kind: 'ConfigMap', name: DEFAULTS[0] as string }
  const namespace = config === undefined ? 'knative-eventing' : (config.namespace ?? owner.namespace)
  const missing = (why: string): null => {
    draft.unresolved(owner.key, 'ConfigParsed', 'ConfigMissing', why)
    return null
  }
  if (kind !== 'ConfigMap') return missing(`spec.config: is a ${kind}, must be a ConfigMap with the key ${TEMPLATE_KEYS[0]}`)
  const found = draft.resource(keyOf('ConfigMap', namespace, name))
  const data = draft.configMap(namespace, name)
  if (found === undefined || data === undefined) {
    if (namespace !== 'knative-eventing' || !DEFAULTS.includes(name))
      return missing(`there is no ConfigMap ${namespace}/${name} that says which channel it stands on`)
    return { kind: IN_MEMORY, spec: undefined, complain: owner.complain }
  }
  const key = TEMPLATE_KEYS.find((k) => data[k] !== undefined)
  if (key === undefined) return missing(`ConfigMap ${namespace}/${name}: ${TEMPLATE_KEYS[0]} is missing`)
  return readTemplate(data[key], [], complainIn(found.complain, ['data', key]))
}
