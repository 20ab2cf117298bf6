import { randomUUID } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { Consumer, FetchIsolationLevels } from '@platformatic/kafka'

// The floor of Kafka → HTTP: the two bare clients and nothing between them. No filter, gate, retry, metric or rebalance.
// Arguments: bootstrap, topic, partitions, port of the sink, requests in flight.

const [bootstrap = '', topic = '', partitionCount = '1', sinkPort = '0', flight = '64'] = process.argv.slice(2)

interface Record {
  readonly partition: Part
  readonly offset: number
  readonly head: string
  readonly body: Buffer
}
interface Part {
  readonly index: number
  next: bigint
  done: number
}

const END = '\r\n\r\n'
const OPENING = `POST / HTTP/1.1\r\nhost: 127.0.0.1:${sinkPort}\r\n`
const names = new Map<string, string>()
const idle: Connection[] = []
const waiting: Record[] = []
let begin = 0
let fetching = false

class Connection {
  readonly socket: Socket
  current: Record | null = null
  constructor() {
    this.socket = connect({
      port: Number(sinkPort),
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(16_384),
        callback: (n, buffer) => {
          this.answered((buffer as Buffer).toString('latin1', 0, n))
          return true
        },
      },
    })
    this.socket.on('error', () => process.exit(1))
  }
  answered(text: string): void {
    if (!text.endsWith(END) || text.charCodeAt(9) !== 50) process.exit(1)
    const record = this.current
    this.current = null
    idle.push(this)
    if (record !== null) record.partition.done++
    pump()
  }
  send(r: Record): void {
    this.current = r
    const head = `${OPENING}${r.head}content-length: ${r.body.length}${END}`
    const bytes = Buffer.allocUnsafe(head.length + r.body.length)
    bytes.write(head, 0, 'latin1')
    r.body.copy(bytes, head.length)
    this.socket.write(bytes)
  }
}

function pump(): void {
  while (begin < waiting.length) {
    const connection = idle.pop()
    if (connection === undefined) return
    const record = waiting[begin++]
    if (record !== undefined) connection.send(record)
  }
  if (waiting.length - begin < 512) setImmediate(fetchMore)
}

function headOf(headers: Iterable<readonly [Buffer, Buffer]>): string {
  let text = ''
  for (const [name, value] of headers) {
    const key = name.toString('latin1')
    let header = names.get(key)
    if (header === undefined) names.set(key, (header = key.startsWith('ce_') ? `ce-${key.slice(3)}` : key))
    text += `${header}: ${value.toString('latin1')}\r\n`
  }
  return text
}

const consumer = new Consumer({
  clientId: 'floor',
  groupId: `floor-${randomUUID()}`,
  bootstrapBrokers: bootstrap.split(','),
  autocommit: false,
})
const metadata = await consumer.metadata({ topics: [topic] })
const about = metadata.topics.get(topic)
if (about === undefined) throw new Error(`no topic ${topic}`)
const parts: Part[] = Array.from({ length: Number(partitionCount) }, (_, index) => ({ index, next: 0n, done: 0 }))
for (let i = 0; i < Number(flight); i++) idle.push(new Connection())
const leader = about.partitions[0]?.leader ?? 1

function fetchMore(): void {
  if (fetching) return
  fetching = true
  consumer.fetch(
    {
      node: leader,
      topics: [
        {
          topicId: about?.id ?? '',
          partitions: parts.map((p) => ({
            partition: p.index,
            fetchOffset: p.next,
            partitionMaxBytes: 65_536,
            currentLeaderEpoch: -1,
            lastFetchedEpoch: -1,
          })),
        },
      ],
      maxWaitTime: 250,
      minBytes: 1,
      maxBytes: 4_194_304,
      isolationLevel: FetchIsolationLevels.READ_COMMITTED,
    },
    (error, answer) => {
      fetching = false
      if (error !== null || answer === undefined) throw error ?? new Error('no answer')
      waiting.splice(0, begin)
      begin = 0
      for (const t of answer.responses) {
        for (const p of t.partitions) {
          const part = parts[p.partitionIndex]
          if (part === undefined) continue
          for (const batch of p.records ?? []) {
            const base = batch.firstOffset
            for (const r of batch.records) {
              const offset = base + BigInt(r.offsetDelta)
              if (offset < part.next) continue
              waiting.push({
                partition: part,
                offset: Number(offset),
                head: headOf(r.headers as unknown as Iterable<[Buffer, Buffer]>),
                body: r.value ?? Buffer.alloc(0),
              })
            }
            part.next = base + BigInt(batch.lastOffsetDelta) + 1n
          }
        }
      }
      pump()
    },
  )
}
process.send?.({ name: 'ready', value: 0 })
process.on('disconnect', () => process.exit(0))
fetchMore()
