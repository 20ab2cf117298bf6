/** Small integers of one shard and one process run; names live in the plan. */
export type SubId = number
export type StreamId = number
export type TargetId = number
export type IngressId = number
export type ServiceId = number

/** A lane is what a feed delivers in order: a partition of Kafka, 0 where a system has only one. */
export type LaneId = number

/** A pod's uid; never its address, which may be given to another pod. */
export type PodId = string

/** Identity of a resource or plan item across reloads: `kind/namespace/name` in lower case, e.g. `trigger/default/orders`. */
export type Key = string
