import { randomUUID } from 'node:crypto'
import { Consumer, FetchIsolationLevels, ProduceAcks, Producer } from '@platformatic/kafka'
import { type BareClient, httpNames, type Place, type Publish } from './client.ts'

type Pair = readonly [Buffer, Buffer]

async function publisher<T>(place: Place, stored: (token: T) => void): Promise<Publish<T>> {
  const producer = new Producer({
    clientId: 'floor',
    bootstrapBrokers: place.address.split(','),
    acks: ProduceAcks.ALL,
    autocreateTopics: false,
  })
  await producer.connectToBrokers()
  const names = new Map<string, Buffer>()
  const bytesOf = (name: string): Buffer => {
    let bytes = names.get(name)
    if (bytes === undefined) names.set(name, (bytes = Buffer.from(name.startsWith('ce-') ? `ce_${name.slice(3)}` : name)))
    return bytes
  }
  let waiting: { readonly headers: Map<Buffer, Buffer>; readonly value: Buffer; readonly token: T }[] = []
  let sending = false
  let turn = 0
  /** What came while the request before was under way goes together. */
  const send = (): void => {
    if (sending || waiting.length === 0) return
    sending = true
    const batch = waiting
    waiting = []
    const partition = turn++ % place.partitions
    const messages = batch.map(({ headers, value }) => ({ topic: place.name, partition, headers, value }))
    producer.send({ messages, acks: ProduceAcks.ALL }, (error) => {
      if (error !== null) throw error
      sending = false
      for (const { token } of batch) stored(token)
      setImmediate(send)
    })
  }
  return (headers, value, token) => {
    waiting.push({ headers: new Map(headers.map(([name, text]) => [bytesOf(name), Buffer.from(text)])), value, token })
    if (waiting.length === 1 && !sending) setImmediate(send)
  }
}

export const BARE_KAFKA: BareClient = {
  publisher,
  async consumer(place, makeLane) {
    const parts = Array.from({ length: place.partitions }, () => ({ next: 0n, done: 0 }))
    const nameOf = httpNames('ce_')
    const headOf = (headers: Iterable<Pair>): string => {
      let text = ''
      for (const [name, value] of headers) text += `${nameOf(name.toString('latin1'))}: ${value.toString('latin1')}\r\n`
      return text
    }
    const consumer = new Consumer({
      clientId: 'floor',
      groupId: `floor-${randomUUID()}`,
      bootstrapBrokers: place.address.split(','),
      autocommit: false,
    })
    const metadata = await consumer.metadata({ topics: [place.name] })
    const about = metadata.topics.get(place.name)
    if (about === undefined) throw new Error(`no topic ${place.name}`)
    const node = about.partitions[0]?.leader ?? 1
    let fetching = false
    const lane = makeLane<{ done: number }>({ done: (part) => part.done++, low: fetchMore })

    function fetchMore(): void {
      if (fetching) return
      fetching = true
      const partitions = parts.map((p, partition) => ({
        partition,
        fetchOffset: p.next,
        partitionMaxBytes: 65_536,
        currentLeaderEpoch: -1,
        lastFetchedEpoch: -1,
      }))
      const request = {
        node,
        topics: [{ topicId: about?.id ?? '', partitions }],
        maxWaitTime: 250,
        minBytes: 1,
        maxBytes: 4_194_304,
        isolationLevel: FetchIsolationLevels.READ_COMMITTED,
      }
      consumer.fetch(request, (error, answer) => {
        fetching = false
        if (error !== null || answer === undefined) throw error ?? new Error('no answer')
        for (const t of answer.responses) {
          for (const p of t.partitions) {
            const part = parts[p.partitionIndex]
            if (part === undefined) continue
            for (const batch of p.records ?? []) {
              const base = batch.firstOffset
              for (const r of batch.records) {
                if (base + BigInt(r.offsetDelta) < part.next) continue
                lane.push(headOf(r.headers as unknown as Iterable<Pair>), r.value ?? Buffer.alloc(0), part)
              }
              part.next = base + BigInt(batch.lastOffsetDelta) + 1n
            }
          }
        }
        lane.pump()
      })
    }
    fetchMore()
  },
}
