/** Error codes of the Kafka protocol that change what the caller does next. */
export const CODE = {
  none: 0,
  offsetOutOfRange: 1,
  corrupt: 2,
  unknownTopicOrPartition: 3,
  leaderNotAvailable: 5,
  notLeaderOrFollower: 6,
  requestTimedOut: 7,
  replicaNotAvailable: 9,
  messageTooLarge: 10,
  offsetMetadataTooLarge: 12,
  coordinatorLoading: 14,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  recordListTooLarge: 18,
  notEnoughReplicas: 19,
  notEnoughReplicasAfterAppend: 20,
  illegalGeneration: 22,
  inconsistentGroupProtocol: 23,
  unknownMemberId: 25,
  rebalanceInProgress: 27,
  topicAuthorizationFailed: 29,
  groupAuthorizationFailed: 30,
  clusterAuthorizationFailed: 31,
  topicAlreadyExists: 36,
  invalidReplicationFactor: 38,
  policyViolation: 44,
  storage: 56,
  fetchSessionIdNotFound: 70,
  invalidFetchSessionEpoch: 71,
  fencedLeaderEpoch: 74,
  unknownLeaderEpoch: 75,
  offsetNotAvailable: 78,
  memberIdRequired: 79,
  fencedInstanceId: 82,
  unstableOffsetCommit: 88,
  unknownTopicId: 100,
  inconsistentTopicId: 103,
  fetchSessionTopicIdError: 106,
} as const

const NAMES = new Map<number, string>(Object.entries(CODE).map(([name, code]) => [code, name]))

/** For people: the name where we know it, with the number. */
export function codeName(code: number): string {
  return `${NAMES.get(code) ?? 'error'} (${code})`
}

/** The cached leaders are not those of now: ask for metadata again. */
export function isStaleLeader(code: number): boolean {
  return (
    code === CODE.unknownTopicOrPartition ||
    code === CODE.leaderNotAvailable ||
    code === CODE.notLeaderOrFollower ||
    code === CODE.replicaNotAvailable ||
    code === CODE.fencedLeaderEpoch ||
    code === CODE.unknownLeaderEpoch ||
    code === CODE.unknownTopicId ||
    code === CODE.inconsistentTopicId ||
    code === CODE.offsetNotAvailable
  )
}

/** It may work in a moment, without anything being asked anew. */
export function isPassing(code: number): boolean {
  return (
    code === CODE.requestTimedOut ||
    code === CODE.notEnoughReplicas ||
    code === CODE.notEnoughReplicasAfterAppend ||
    code === CODE.storage ||
    code === CODE.corrupt
  )
}

/** These credentials may not do it, or whoever runs the cluster does not want it. */
export function isForbidden(code: number): boolean {
  return (
    code === CODE.topicAuthorizationFailed ||
    code === CODE.groupAuthorizationFailed ||
    code === CODE.clusterAuthorizationFailed ||
    code === CODE.policyViolation ||
    code === CODE.invalidReplicationFactor
  )
}

/** Another broker coordinates the group now, or this one is not ready yet. */
export function isLostCoordinator(code: number): boolean {
  return code === CODE.coordinatorLoading || code === CODE.coordinatorNotAvailable || code === CODE.notCoordinator
}

/** The group goes on without us: what we owned may be somebody else's. */
export function isLostMembership(code: number): boolean {
  return code === CODE.unknownMemberId || code === CODE.illegalGeneration || code === CODE.fencedInstanceId
}
