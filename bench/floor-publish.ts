import { loadUws } from '../src/vendor/uws/uws.ts'
import { bareClient } from './bare-clients/all.ts'
import type { Header, Place } from './bare-clients/client.ts'
import { serve } from './processes.ts'

// The floor of publishing: a bare uWebSockets.js server and the bare client of a message system, nothing between them.
// Arguments: system, place as JSON.

const [system = '', place = '{}'] = process.argv.slice(2)
const loaded = await loadUws(16_384)
if ('absent' in loaded) throw new Error(loaded.absent)
const { uws } = loaded
const app = uws.App()

type Response = Parameters<Parameters<typeof app.any>[1]>[0]
const client = await bareClient(system)
const publish = await client.publisher<Response>(JSON.parse(place) as Place, (response) => {
  response.cork(() => response.writeStatus('202 Accepted').end())
})
app.any('/*', (response, request) => {
  const headers: Header[] = []
  request.forEach((name, value) => {
    if (name.startsWith('ce-') || name === 'content-type') headers.push([name, value])
  })
  response.onAborted(() => {})
  let begun: Buffer | null = null
  response.onData((chunk, last) => {
    // The bytes are uWebSockets.js's own: gone after this call.
    const copy = Buffer.from(Buffer.from(chunk))
    const body = begun === null ? copy : Buffer.concat([begun, copy])
    if (last) publish(headers, body, response)
    else begun = body
  })
})
app.listen('127.0.0.1', 0, uws.LIBUS_LISTEN_EXCLUSIVE_PORT, (socket) => {
  if (socket === false) throw new Error('cannot listen')
  process.send?.({ name: 'ready', value: uws.us_socket_local_port(socket) })
})
serve({})
