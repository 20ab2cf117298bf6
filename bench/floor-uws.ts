import { serve } from './processes.ts'
import { loadUws } from '../src/vendor/uws/uws.ts'

// The floor of HTTP in: a bare uWebSockets.js server that reads the body and answers 202. No decoding, no storing.

const loaded = await loadUws(16_384)
if ('absent' in loaded) throw new Error(loaded.absent)
const { uws } = loaded
const app = uws.App()
app.any('/*', (response) => {
  response.onAborted(() => {})
  response.onData((_chunk, last) => {
    if (last) response.cork(() => response.writeStatus('202 Accepted').end())
  })
})
app.listen('127.0.0.1', 0, uws.LIBUS_LISTEN_EXCLUSIVE_PORT, (socket) => {
  if (socket === false) throw new Error('cannot listen')
  process.send?.({ name: 'ready', value: uws.us_socket_local_port(socket) })
})
serve({})
