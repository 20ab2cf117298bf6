import { open } from 'lmdb'
import { type BareClient, linesOf } from './client.ts'

/** Where a reader keeps how far it is. */
const POSITION = 0
const READ_AT_ONCE = 256

function store(folder: string): ReturnType<typeof open<Buffer, number>> {
  return open<Buffer, number>({ path: folder, keyEncoding: 'uint32', encoding: 'binary', noMemInit: true })
}

/** The store of the embedded stream: a key an event, groups flushed. */
export const BARE_EMBEDDED: BareClient = {
  publisher<T>(place: { readonly address: string }, stored: (token: T) => void) {
    const db = store(place.address)
    let key = POSITION
    let waiting: T[] = []
    let flushing = false
    const flush = async (): Promise<void> => {
      flushing = true
      while (waiting.length > 0) {
        const group = waiting
        waiting = []
        await db.flushed
        for (const token of group) stored(token)
      }
      flushing = false
    }
    return Promise.resolve((headers: Parameters<typeof linesOf>[0], body: Buffer, token: T) => {
      const head = linesOf(headers)
      const value = Buffer.allocUnsafe(2 + head.length + body.length)
      value.writeUInt16BE(head.length)
      value.write(head, 2, 'latin1')
      body.copy(value, 2 + head.length)
      void db.put(++key, value)
      waiting.push(token)
      if (!flushing && waiting.length === 1) setImmediate(() => void flush())
    })
  },
  consumer(place, makeLane) {
    const db = store(place.address)
    let next = POSITION + 1
    let settled = 0
    let saving = false
    const save = (): void => {
      saving = false
      const position = Buffer.allocUnsafe(4)
      position.writeUInt32BE(settled)
      void db.put(POSITION, position)
    }
    const lane = makeLane<null>({
      done() {
        settled++
        if (saving) return
        saving = true
        setImmediate(save)
      },
      low: readMore,
    })
    function readMore(): void {
      for (let n = 0; n < READ_AT_ONCE; n++) {
        const value = db.getBinary(next)
        if (value === undefined) return
        const end = 2 + value.readUInt16BE()
        lane.push(value.toString('latin1', 2, end), value.subarray(end), null)
        next++
        lane.pump()
      }
    }
    readMore()
    return Promise.resolve()
  },
}
