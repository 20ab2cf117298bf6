import type { ResourceView } from '../contract/plan.ts'
import type { Condition } from '../observe/operations.ts'

/** The conditions Knative shows for a kind beside Ready; what is wrong with one makes Ready false. */
const TYPES: Readonly<Record<string, readonly string[]>> = {
  Broker: ['Addressable', 'IngressReady', 'FilterReady', 'TriggerChannelReady', 'DeadLetterSinkResolved'],
  Trigger: ['BrokerReady', 'SubscriberResolved', 'DeadLetterSinkResolved', 'SubscriptionReady', 'DependencyReady'],
  Channel: ['Addressable', 'BackingChannelReady', 'DeadLetterSinkResolved'],
  InMemoryChannel: ['Addressable', 'ChannelServiceReady', 'DispatcherReady', 'DeadLetterSinkResolved'],
  Subscription: ['ReferencesResolved', 'AddedToChannel', 'ChannelReady'],
  Sequence: ['Addressable', 'ChannelsReady', 'SubscriptionsReady'],
  Parallel: ['Addressable', 'ChannelsReady', 'SubscriptionsReady'],
  EventTransform: ['Addressable', 'TransformationReady', 'SinkProvided'],
  Service: ['ConfigurationsReady', 'RoutesReady'],
  RocketMQSource: ['SinkProvided', 'ConnectionEstablished', 'Deployed'],
  KafkaSource: ['SinkProvided', 'ConnectionEstablished', 'InitialOffsetsCommitted', 'Deployed'],
}

/** What is the matter with one resource: a condition, a reason in one word and a sentence. */
export interface Trouble {
  readonly condition: string
  readonly reason: string
  readonly message: string
}

/** Ready first, then the kind's own; a trouble with a condition the kind does not have still shows. */
export function conditionsOf(view: ResourceView, troubles: readonly Trouble[]): readonly Condition[] {
  const types = [...new Set([...(TYPES[view.kind] ?? []), ...troubles.map((t) => t.condition)])].filter((t) => t !== 'Ready')
  const [first] = troubles
  const ready: Condition =
    first === undefined
      ? { type: 'Ready', status: 'True' }
      : { type: 'Ready', status: 'False', reason: first.reason, message: first.message }
  return [
    ready,
    ...types.map((type): Condition => {
      const trouble = troubles.find((t) => t.condition === type)
      return trouble === undefined
        ? { type, status: 'True' }
        : { type, status: 'False', reason: trouble.reason, message: trouble.message }
    }),
  ]
}
