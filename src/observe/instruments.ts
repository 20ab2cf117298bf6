import {
  byLabel,
  type Instrument,
  NAMED,
  ofKeys,
  ofProcess,
  ofRevisions,
  ofStreams,
  ofSubscriptions,
  revisionLabels,
} from './instrument.ts'

/** Every metric: `/metrics`, docs/metrics.md and the Grafana dashboard are made from this table. */
export const INSTRUMENTS: readonly Instrument[] = [
  ofKeys(
    {
      name: 'sluice_ingress_received',
      type: 'counter',
      help: 'Events and refused requests: accepted + refused at every instant.',
      labels: NAMED,
      section: 'ingress',
    },
    (r) => r.recorded.ingresses,
    (n) => [[{}, n.received]],
  ),
  ofKeys(
    {
      name: 'sluice_ingress_accepted',
      type: 'counter',
      help: 'Events answered with success after they were durable.',
      labels: NAMED,
      section: 'ingress',
    },
    (r) => r.recorded.ingresses,
    (n) => [[{}, n.accepted]],
  ),
  ofKeys(
    {
      name: 'sluice_ingress_refused',
      type: 'counter',
      help: 'Requests refused, by error code.',
      labels: [...NAMED, 'reason'],
      section: 'ingress',
    },
    (r) => r.recorded.ingresses,
    (n) => byLabel(n.refused, 'reason'),
  ),
  ofKeys(
    {
      name: 'sluice_ingress_deduplicated',
      type: 'counter',
      help: 'Accepted events that were repeats within the dedup window.',
      labels: NAMED,
      section: 'ingress',
    },
    (r) => r.recorded.ingresses,
    (n) => [[{}, n.deduplicated]],
  ),
  ofKeys(
    {
      name: 'sluice_ingress_seconds',
      type: 'histogram',
      help: 'From receipt to the answer that says durable.',
      labels: NAMED,
      section: 'ingress',
    },
    (r) => r.recorded.ingresses,
    (n) => [[{}, n.seconds]],
  ),
  ofKeys(
    {
      name: 'sluice_stream_appended_events',
      type: 'counter',
      help: 'Events appended, replies and dead letters included.',
      labels: NAMED,
      section: 'streams',
    },
    (r) => r.recorded.appended,
    (n) => [[{}, n.events]],
  ),
  ofKeys(
    { name: 'sluice_stream_appended_bytes', type: 'counter', help: 'Bytes appended.', labels: NAMED, section: 'streams' },
    (r) => r.recorded.appended,
    (n) => [[{}, n.bytes]],
  ),
  ofKeys(
    {
      name: 'sluice_stream_append_seconds',
      type: 'histogram',
      help: 'From append to durable.',
      labels: NAMED,
      section: 'streams',
    },
    (r) => r.recorded.appended,
    (n) => [[{}, n.seconds]],
  ),
  ofStreams('sluice_stream_stored_events', 'Events in the stream, settled history included.', (s) => s.events),
  ofStreams('sluice_stream_stored_bytes', 'Bytes in the stream, settled history included.', (s) => s.bytes),
  ofStreams('sluice_stream_refusing', '1 while the stream takes nothing (full, disk, failed).', (s) => (s.refusing ? 1 : 0)),
  ofSubscriptions(
    'sluice_subscription_restored',
    'counter',
    'Deliveries taken up again after a wait in the store or a restart.',
    (s) => s.restored,
  ),
  ofSubscriptions('sluice_subscription_offered', 'counter', 'Events that went past it, matched or not.', (s) => s.offered),
  ofSubscriptions('sluice_subscription_replayed', 'counter', 'Events offered again by a replay.', (s) => s.replayed),
  ofSubscriptions('sluice_subscription_filtered', 'counter', 'Events the filter did not match.', (s) => s.filtered),
  ofSubscriptions('sluice_subscription_delivered', 'counter', 'Deliveries that ended with success.', (s) => s.delivered),
  ofSubscriptions(
    'sluice_subscription_dead_lettered',
    'counter',
    'Deliveries that ended at the dead-letter sink.',
    (s) => s.deadLettered,
  ),
  ofSubscriptions('sluice_subscription_parked', 'counter', 'Deliveries that were parked.', (s) => s.parked),
  ofSubscriptions(
    'sluice_subscription_handed_back',
    'counter',
    'Deliveries given back to where they came from.',
    (s) => s.handedBack,
  ),
  ofSubscriptions('sluice_subscription_waiting', 'gauge', 'Deliveries in custody that have not ended.', (s) => s.waiting),
  ofSubscriptions('sluice_subscription_backlog_events', 'gauge', 'Unread events behind the subscription.', (s) => s.backlog),
  ofSubscriptions('sluice_subscription_parked_events', 'gauge', 'Parked events that wait for a person.', (s) => s.parkedNow),
  ofSubscriptions('sluice_subscription_attempts', 'counter', 'Attempts made.', (s) => s.attempts),
  ofSubscriptions('sluice_subscription_retries', 'counter', 'Attempts after the first of a delivery.', (s) => s.retries),
  ofSubscriptions('sluice_subscription_held', 'gauge', '1 while it reads nothing (paused, unresolved, parked full).', (s) =>
    s.paused || s.held !== '' ? 1 : 0,
  ),
  ofSubscriptions(
    'sluice_subscription_paused',
    'gauge',
    '1 while it is paused: by somebody, or in order behind its own replay.',
    (s) => (s.paused ? 1 : 0),
  ),
  ofKeys(
    {
      name: 'sluice_subscription_filter_failures',
      type: 'counter',
      help: 'Filter expressions that failed on an event.',
      labels: NAMED,
      section: 'subscriptions',
    },
    (r) => r.recorded.filterFailures,
    (n) => [[{}, n]],
  ),
  ofKeys(
    {
      name: 'sluice_subscription_undecodable',
      type: 'counter',
      help: 'What was read and is no event; parked raw.',
      labels: NAMED,
      section: 'subscriptions',
    },
    (r) => r.recorded.undecodable,
    (n) => [[{}, n]],
  ),
  ofKeys(
    {
      name: 'sluice_subscription_replies',
      type: 'counter',
      help: 'Reply events routed.',
      labels: NAMED,
      section: 'subscriptions',
    },
    (r) => r.recorded.replies,
    (n) => [[{}, n]],
  ),
  ofKeys(
    {
      name: 'sluice_subscription_loops',
      type: 'counter',
      help: 'Events that went round in circles and were not passed on any more.',
      labels: NAMED,
      section: 'subscriptions',
    },
    (r) => r.recorded.loops,
    (n) => [[{}, n]],
  ),
  ofKeys(
    {
      name: 'sluice_end_to_end_seconds',
      type: 'histogram',
      help: 'From receipt by the gateway to delivered, by stream or source.',
      labels: NAMED,
      section: 'subscriptions',
    },
    (r) => r.recorded.endToEnd,
    (n) => [[{}, n]],
  ),
  ofKeys(
    {
      name: 'sluice_attempts',
      type: 'counter',
      help: 'Attempts by target and outcome.',
      labels: [...NAMED, 'outcome'],
      section: 'attempts',
    },
    (r) => r.recorded.attempts,
    (n) => byLabel(Object.entries(n.outcomes), 'outcome'),
  ),
  ofKeys(
    {
      name: 'sluice_attempt_wait_seconds',
      type: 'histogram',
      help: 'From the wish for a credit to the credit.',
      labels: NAMED,
      section: 'attempts',
    },
    (r) => r.recorded.attempts,
    (n) => [[{}, n.wait]],
  ),
  ofKeys(
    { name: 'sluice_attempt_seconds', type: 'histogram', help: 'From credit to outcome.', labels: NAMED, section: 'attempts' },
    (r) => r.recorded.attempts,
    (n) => [[{}, n.seconds]],
  ),
  ofRevisions('sluice_revision_in_flight', 'gauge', 'Attempts and proxied requests that hold a credit.', (s) => s.gate.inFlight),
  ofRevisions(
    'sluice_revision_abandoned',
    'gauge',
    'Of these, decided already while the pod still works.',
    (s) => s.gate.abandoned,
  ),
  {
    ...ofRevisions('sluice_revision_queued', 'gauge', 'Waiting for a credit, by kind.', () => 0),
    labels: ['namespace', 'service', 'revision', 'queued'],
    *rows(r) {
      for (const s of r.snapshot.services) {
        yield { labels: { ...revisionLabels(s), queued: 'request' }, value: s.gate.queuedRequests }
        yield { labels: { ...revisionLabels(s), queued: 'event' }, value: s.gate.queuedEvents }
      }
    },
  },
  ofRevisions('sluice_revision_limit', 'gauge', 'Credits of all its ready pods; 0 = no limit.', (s) => s.gate.limit),
  ofRevisions('sluice_revision_backlog', 'gauge', 'Events behind the gate that want it.', (s) => s.observation.backlog),
  ofRevisions(
    'sluice_revision_demand',
    'gauge',
    'In flight + queued + backlog.',
    (s) => s.gate.inFlight + s.observation.queued + s.observation.backlog,
  ),
  ofRevisions('sluice_revision_arrivals', 'counter', 'Wishes for a credit.', (s) => s.observation.arrivals),
  ofRevisions(
    'sluice_revision_arrival_rate',
    'gauge',
    'Arrivals a second over the last 20 s.',
    (s) => s.observation.arrivalsPerS,
  ),
  ofRevisions(
    'sluice_revision_service_seconds',
    'gauge',
    'Measured mean service time; NaN before the first.',
    (s) => (s.observation.serviceMs ?? Number.NaN) / 1000,
  ),
  ofRevisions('sluice_revision_pods_desired', 'gauge', 'Pods the autoscaler wants.', (s) => s.desired),
  {
    ...ofRevisions('sluice_revision_pods', 'gauge', 'Pods by phase.', () => 0),
    labels: ['namespace', 'service', 'revision', 'phase'],
    *rows(r) {
      for (const s of r.snapshot.services) {
        for (const phase of ['starting', 'ready', 'draining', 'failed'] as const) {
          yield { labels: { ...revisionLabels(s), phase }, value: s.observation.pods.filter((p) => p.phase === phase).length }
        }
      }
    },
  },
  ofKeys(
    {
      name: 'sluice_requests',
      type: 'counter',
      help: 'Plain requests proxied to a Service, by status class.',
      labels: [...NAMED, 'code'],
      section: 'services',
    },
    (r) => r.recorded.proxied,
    (n) => byLabel(n.statuses, 'code'),
  ),
  ofKeys(
    {
      name: 'sluice_request_wait_seconds',
      type: 'histogram',
      help: 'Plain requests: waiting for a credit.',
      labels: NAMED,
      section: 'services',
    },
    (r) => r.recorded.proxied,
    (n) => [[{}, n.wait]],
  ),
  ofKeys(
    {
      name: 'sluice_request_seconds',
      type: 'histogram',
      help: 'Plain requests: from credit to the end of the response.',
      labels: NAMED,
      section: 'services',
    },
    (r) => r.recorded.proxied,
    (n) => [[{}, n.seconds]],
  ),
  ofKeys(
    {
      name: 'sluice_pod_changes',
      type: 'counter',
      help: 'Pods entering a phase.',
      labels: [...NAMED, 'phase'],
      section: 'services',
    },
    (r) => r.recorded.podChanges,
    (n) => byLabel(n, 'phase'),
  ),
  ofProcess('process_cpu_seconds', 'counter', 'CPU time used, user and system.', (p) => p.cpuS),
  ofProcess('process_resident_memory_bytes', 'gauge', 'Resident memory.', (p) => p.rssBytes),
  ofProcess('sluice_uptime_seconds', 'gauge', 'Since the process began.', (p) => p.uptimeS),
  ofProcess(
    'sluice_event_loop_lag_seconds',
    'gauge',
    'Longest delay of the event loop since the last scrape.',
    (p) => p.loopLagS,
  ),
  ofProcess('sluice_log_lines_dropped', 'counter', 'Log lines nobody took in time.', (p) => p.droppedLogLines),
]
