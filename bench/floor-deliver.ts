import { BareLane } from './bare-lane.ts'
import { bareClient } from './bare-clients/all.ts'
import type { Place } from './bare-clients/client.ts'

// The floor of delivering: the bare client of a message system and a bare HTTP lane, nothing between them. No filter, gate,
// retry, metric or rebalance. Arguments: system, place as JSON, port of the sink, requests in flight.

const [system = '', place = '{}', port = '0', flight = '64'] = process.argv.slice(2)
const client = await bareClient(system)
await client.consumer(JSON.parse(place) as Place, (o) => new BareLane({ ...o, port: Number(port), flight: Number(flight) }))
process.send?.({ name: 'ready', value: 0 })
process.on('disconnect', () => process.exit(0))
