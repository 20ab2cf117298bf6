import { connect } from 'node:net'
import { inject } from 'vitest'
import { ownRocketMq } from './provided.ts'

export interface SharedRocketMqAddress {
  /** `host:port` of the proxy. */
  readonly endpoint: string
  readonly nameServer: string
}

/** The RocketMQ of the run, without access keys; `address` starts it when it is first asked for. */
export function sharedRocketMq(): {
  readonly note: string
  readonly skip: boolean
  address(): Promise<SharedRocketMqAddress>
} {
  return { ...ownRocketMq(), address: () => toldAt(inject('rocketmq').port) }
}

/** What a server says of itself to whoever connects: one line of JSON. */
function toldAt(port: number): Promise<SharedRocketMqAddress> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(port, '127.0.0.1')
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    socket.on('error', reject)
    socket.on('close', () =>
      text === '' ? reject(new Error('RocketMQ did not start')) : resolve(JSON.parse(text) as SharedRocketMqAddress),
    )
  })
}
