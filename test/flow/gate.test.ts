import { describe, expect, test } from 'vitest'
import type { Credit, Job, Origin } from '../../src/contract/target.ts'
import { createGate, type Gate, type GateOptions } from '../../src/flow/gate.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'

const ORIGIN: Origin = { protocol: 'http:', host: '127.0.0.1', port: 80, caCerts: '' }

interface Wish extends Job {
  credit: Credit | null
  refusal: string
  retryAfterMs: number
}

let serial = 0
const order: string[] = []

function wish(sub = 1, o: { kind?: Job['kind']; retry?: boolean; name?: string } = {}): Wish {
  const name = o.name ?? `job-${++serial}`
  return {
    kind: o.kind ?? 'event',
    sub: o.kind === 'request' ? 0 : sub,
    retry: o.retry ?? false,
    bytes: 1,
    credit: null,
    refusal: '',
    retryAfterMs: 0,
    start(c) {
      expect(this.credit).toBe(null)
      this.credit = c
      order.push(name)
    },
    refused(why, retryAfterMs) {
      this.refusal = why
      this.retryAfterMs = retryAfterMs
    },
  }
}

function setUp(o: Partial<GateOptions> = {}): { clock: VirtualClock; gate: Gate; take: (n: number, sub?: number) => Wish[] } {
  const clock = new VirtualClock()
  const gate = createGate({ clock, maxQueuedRequests: 10, ...o })
  order.length = 0
  return {
    clock,
    gate,
    take: (n, sub = 1) =>
      Array.from({ length: n }, () => {
        const w = wish(sub)
        gate.acquire(w)
        return w
      }),
  }
}

const done = (w: Wish, ms = 1): void => w.credit!.release({ ms, ok: true })

describe('credits', () => {
  test('of what a pod does since before this process are booked whatever its limit, and nobody comes before they are back', () => {
    const { gate, take } = setUp()
    gate.add('a', ORIGIN, 1)
    expect(gate.adopt('gone')).toBeNull()
    const [first, second] = [gate.adopt('a'), gate.adopt('a')]
    expect(gate.state()).toMatchObject({ inFlight: 2, pods: [{ pod: 'a', inFlight: 2 }] })
    const [w] = take(1)
    first!.release({ ms: 1, ok: true })
    expect(w!.credit).toBe(null)
    second!.release({ ms: 1, ok: true })
    expect(w!.credit).not.toBe(null)
  })

  test('no pod is over its limit, and the next starts when one comes back', () => {
    const { gate, take } = setUp()
    gate.add('a', ORIGIN, 2)
    const [first, second, third] = take(3)
    expect(first!.credit).not.toBe(null)
    expect(second!.credit).not.toBe(null)
    expect(third!.credit).toBe(null)
    expect(gate.state()).toMatchObject({ inFlight: 2, queuedEvents: 1, limit: 2 })
    done(first!)
    expect(third!.credit?.pod).toBe('a')
    expect(gate.state()).toMatchObject({ inFlight: 2, queuedEvents: 0 })
  })

  test('a credit is released once', () => {
    const { gate, take } = setUp()
    gate.add('a', ORIGIN, 1)
    const [w] = take(1)
    done(w!)
    expect(() => done(w!)).toThrow('released once')
    expect(() => w!.credit!.abandon()).toThrow('released credit')
    expect(gate.inFlightOf('a')).toBe(0)
  })

  test('without a limit everything starts, on the least loaded pod', () => {
    const { gate, take } = setUp()
    for (const pod of ['a', 'b', 'c']) gate.add(pod, ORIGIN, 0)
    take(300)
    expect(['a', 'b', 'c'].map((p) => gate.inFlightOf(p))).toEqual([100, 100, 100])
    expect(gate.state().limit).toBe(0)
  })

  test('it packs: the fullest pod with room, ties the oldest', () => {
    const { gate, take } = setUp()
    for (const pod of ['old', 'middle', 'young']) gate.add(pod, ORIGIN, 3)
    const jobs = take(5)
    expect(jobs.map((j) => j.credit!.pod)).toEqual(['old', 'old', 'old', 'middle', 'middle'])
    done(jobs[0]!)
    done(jobs[1]!)
    expect(gate.inFlightOf('old')).toBe(1)
    expect(take(1)[0]!.credit!.pod).toBe('middle')
    expect(take(1)[0]!.credit!.pod).toBe('old')
    expect(gate.inFlightOf('young')).toBe(0)
  })

  test('a cordoned pod gets nothing new, what runs goes on, and it may come back with its age', () => {
    const { gate, take } = setUp()
    gate.add('old', ORIGIN, 2)
    gate.add('young', ORIGIN, 2)
    const [w] = take(1)
    gate.cordon('old')
    expect(take(1)[0]!.credit!.pod).toBe('young')
    expect(gate.state()).toMatchObject({ limit: 2, inFlight: 2 })
    done(w!)
    expect(gate.state().pods.find((p) => p.pod === 'old')).toMatchObject({ phase: 'cordoned', inFlight: 0 })
    gate.uncordon('old')
    take(1)
    expect(take(1)[0]!.credit!.pod).toBe('old')
  })

  test('more credits serve those who wait, fewer take none away', () => {
    const { gate, take } = setUp()
    gate.add('a', ORIGIN, 1)
    const jobs = take(4)
    gate.setLimit('a', 3)
    expect(jobs.filter((j) => j.credit !== null)).toHaveLength(3)
    gate.setLimit('a', 1)
    expect(gate.inFlightOf('a')).toBe(3)
    done(jobs[0]!)
    done(jobs[1]!)
    expect(jobs[3]!.credit).toBe(null)
    done(jobs[2]!)
    expect(jobs[3]!.credit).not.toBe(null)
  })

  test('a pod that is gone gives its credits back and tells their holders once, releases after that change nothing', () => {
    const { gate, take } = setUp()
    gate.add('a', ORIGIN, 2)
    gate.add('b', ORIGIN, 1)
    const jobs = take(4)
    const told: string[] = []
    jobs[0]!.credit!.onGone(() => told.push('first'))
    jobs[0]!.credit!.onGone(() => told.push('second'))
    gate.gone('a')
    gate.gone('a')
    expect(told).toEqual(['first', 'second'])
    expect(gate.state()).toMatchObject({ inFlight: 1, queuedEvents: 1 })
    done(jobs[0]!)
    done(jobs[1]!)
    expect(gate.state().inFlight).toBe(1)
    jobs[1]!.credit = null
    expect(() => done(jobs[0]!)).toThrow('released once')
  })

  test('credits belong to a uid: a new pod at the old address starts with all of its own', () => {
    const { gate, take } = setUp()
    gate.add('uid-1', ORIGIN, 1)
    const [old] = take(1)
    gate.gone('uid-1')
    gate.add('uid-2', ORIGIN, 1)
    const [fresh] = take(1)
    expect(fresh!.credit!.pod).toBe('uid-2')
    done(old!)
    expect(gate.inFlightOf('uid-2')).toBe(1)
  })

  test('jobs are held while there is no pod', () => {
    const { gate, take } = setUp()
    const jobs = take(3)
    const request = wish(0, { kind: 'request' })
    gate.acquire(request)
    expect(gate.state()).toMatchObject({ queuedEvents: 3, queuedRequests: 1, inFlight: 0 })
    gate.add('a', ORIGIN, 10)
    expect([...jobs, request].every((j) => j.credit !== null)).toBe(true)
  })

  test('a thousand pods are packed as well as three', () => {
    const { gate, take } = setUp()
    for (let i = 0; i < 1_000; i++) gate.add(`p${i}`, ORIGIN, 10)
    const jobs = take(9_995)
    expect(gate.inFlightOf('p0')).toBe(10)
    expect(gate.inFlightOf('p999')).toBe(5)
    for (let i = 0; i < 900; i++) gate.gone(`p${i}`)
    done(jobs[9_020]!)
    expect(take(1)[0]!.credit!.pod).toBe('p902')
    expect(take(1)[0]!.credit!.pod).toBe('p999')
  })
})

describe('abandoned credits', () => {
  test('stay booked until they are released', () => {
    const { gate, take, clock } = setUp()
    gate.add('a', ORIGIN, 1)
    const [slow, next] = take(2)
    slow!.credit!.abandon()
    slow!.credit!.abandon()
    expect(gate.state()).toMatchObject({ inFlight: 1, abandoned: 1 })
    clock.advance(3_600_000)
    expect(next!.credit).toBe(null)
    expect(gate.abandonedSinceOf('a')).toBe(0)
    done(slow!)
    expect(next!.credit).not.toBe(null)
    expect(gate.state()).toMatchObject({ inFlight: 1, abandoned: 0 })
    expect(gate.abandonedSinceOf('a')).toBe(null)
  })

  test('come back with the pod', () => {
    const { gate, take } = setUp()
    gate.add('a', ORIGIN, 1)
    const [slow] = take(1)
    slow!.credit!.abandon()
    gate.gone('a')
    expect(gate.state()).toMatchObject({ inFlight: 0, abandoned: 0 })
    done(slow!)
    expect(gate.state()).toMatchObject({ inFlight: 0, abandoned: 0 })
  })

  test('on a URI they come back after a minute', () => {
    const { gate, take, clock } = setUp({ abandonedReturnMs: 60_000 })
    gate.add('uri', ORIGIN, 1)
    const [slow, next] = take(2)
    slow!.credit!.abandon()
    clock.advance(59_999)
    expect(next!.credit).toBe(null)
    clock.advance(1)
    expect(next!.credit).not.toBe(null)
    done(slow!)
    expect(gate.state()).toMatchObject({ inFlight: 1, abandoned: 0 })
  })
})

describe('waiting', () => {
  test('requests go before events, four to one', () => {
    const { gate, clock } = setUp({ maxQueuedRequests: 100 })
    for (let i = 0; i < 20; i++) gate.acquire(wish(1, { name: 'e' }))
    for (let i = 0; i < 10; i++) gate.acquire(wish(0, { kind: 'request', name: 'R' }))
    gate.add('a', ORIGIN, 15)
    clock.settle()
    expect(order.join('')).toBe('RRRReRRRReRReee')
  })

  test('events are served round robin by subscription, a due retry first in its own', () => {
    const { gate } = setUp()
    for (let i = 1; i <= 3; i++) gate.acquire(wish(1, { name: `a${i}` }))
    gate.acquire(wish(2, { name: 'b1' }))
    gate.acquire(wish(3, { name: 'c1' }))
    gate.acquire(wish(1, { name: 'a-retry', retry: true }))
    gate.add('pod', ORIGIN, 6)
    expect(order).toEqual(['a-retry', 'b1', 'c1', 'a1', 'a2', 'a3'])
  })

  test('a subscription that waits long does not keep a newcomer waiting', () => {
    const { gate, take } = setUp()
    gate.add('a', ORIGIN, 1)
    const running = take(1)[0]!
    const crowd = take(60, 1)
    const late = wish(2, { name: 'late' })
    gate.acquire(late)
    done(running)
    expect(crowd[0]!.credit).not.toBe(null)
    done(crowd[0]!)
    expect(late.credit).not.toBe(null)
  })

  test('a subscription offers at most 64 jobs or twice the credits, the next is refused', () => {
    const { gate, take } = setUp()
    const jobs = take(65)
    expect(jobs[63]!.refusal).toBe('')
    expect(jobs[64]!.refusal).toBe('full')
    const other = take(1, 2)[0]!
    expect(other.refusal).toBe('')
    gate.add('a', ORIGIN, 100)
    const more = take(300)
    expect(more.filter((j) => j.credit !== null)).toHaveLength(35)
    expect(more.filter((j) => j.refusal === 'full')).toHaveLength(300 - 35 - 200)
  })

  test('a request over the queue is refused with when to come again', () => {
    const { gate, clock } = setUp({ maxQueuedRequests: 2 })
    gate.add('a', ORIGIN, 1)
    const requests = Array.from({ length: 4 }, () => wish(0, { kind: 'request' }))
    for (const r of requests) gate.acquire(r)
    expect(requests.map((r) => r.refusal)).toEqual(['', '', '', 'full'])
    expect(requests[3]!.retryAfterMs).toBe(1_000)
    clock.advance(20_000)
    requests[0]!.credit!.release({ ms: 20_000, ok: true })
    const late = [wish(0, { kind: 'request' }), wish(0, { kind: 'request' })]
    for (const r of late) gate.acquire(r)
    expect(late[1]!.refusal).toBe('full')
    expect(late[1]!.retryAfterMs).toBe(30_000)
  })

  test('a job that is cancelled does not start, wherever it stands', () => {
    const { gate, take } = setUp()
    gate.add('a', ORIGIN, 1)
    const jobs = take(4)
    gate.cancel(jobs[1]!)
    gate.cancel(jobs[3]!)
    gate.cancel(jobs[3]!)
    gate.cancel(jobs[0]!)
    expect(gate.state()).toMatchObject({ inFlight: 1, queuedEvents: 1 })
    const [after] = take(1)
    done(jobs[0]!)
    done(jobs[2]!)
    done(after!)
    expect(jobs[1]!.credit).toBe(null)
    expect(jobs[3]!.credit).toBe(null)
    expect(gate.state()).toMatchObject({ inFlight: 0, queuedEvents: 0 })
  })

  test('requests that waited too long expire, the younger stay', () => {
    const { gate, clock } = setUp()
    const old = wish(0, { kind: 'request' })
    gate.acquire(old)
    clock.advance(1_000)
    const young = wish(0, { kind: 'request' })
    gate.acquire(young)
    expect(gate.expireRequests(1_000)).toBe(1)
    expect([old.refusal, young.refusal]).toEqual(['expired', ''])
    expect(gate.state().queuedRequests).toBe(1)
  })

  test('a closed gate refuses who waits and who comes, what runs ends as it should', () => {
    const { gate, take } = setUp()
    gate.add('a', ORIGIN, 1)
    const [running, waiting] = take(2)
    gate.close()
    expect(waiting!.refusal).toBe('gone')
    expect(take(1)[0]!.refusal).toBe('gone')
    expect(gate.open).toBe(false)
    done(running!)
    expect(gate.state().inFlight).toBe(0)
  })

  test('what starts within a start waits for its turn: no recursion, however many end at once', () => {
    const { gate } = setUp()
    gate.add('a', ORIGIN, 1)
    let left = 100_000
    let deepest = 0
    let depth = 0
    const again = (): void => {
      if (left-- === 0) return
      gate.acquire({
        ...wish(1),
        start(c) {
          deepest = Math.max(deepest, ++depth)
          again()
          c.release({ ms: 1, ok: true })
          depth--
        },
        refused: (why) => expect(why).toBe('never'),
      })
    }
    again()
    expect(left).toBe(-1)
    expect(deepest).toBe(1)
  })
})

describe('limits of the whole', () => {
  test('so many at once, whatever the pods could do', () => {
    const { gate, take } = setUp({ limits: { maxConcurrency: 3, ratePerS: 0 } })
    gate.add('a', ORIGIN, 10)
    const jobs = take(5)
    expect(jobs.filter((j) => j.credit !== null)).toHaveLength(3)
    expect(gate.credits).toBe(3)
    done(jobs[0]!)
    expect(jobs.filter((j) => j.credit !== null)).toHaveLength(4)
  })

  test('so many a second, without a burst at the start', () => {
    const { gate, take, clock } = setUp({ limits: { maxConcurrency: 0, ratePerS: 10 } })
    gate.add('a', ORIGIN, 0)
    const jobs = take(30)
    const started = (): number => jobs.filter((j) => j.credit !== null).length
    expect(started()).toBe(1)
    clock.advance(100)
    expect(started()).toBe(2)
    clock.advance(900)
    expect(started()).toBe(11)
  })
})

describe('what the scaler sees', () => {
  test('is told once until it looks, when demand crosses a pod, a pod falls idle, or pods change', () => {
    let told = 0
    const { gate, take } = setUp({ onChange: () => told++ })
    gate.add('a', ORIGIN, 2)
    expect(told).toBe(1)
    const [first] = take(1)
    expect(told).toBe(1)
    gate.state()
    const [second] = take(1)
    expect(told).toBe(1)
    const [third] = take(1)
    expect(told).toBe(2)
    gate.state()
    take(1)
    expect(told).toBe(2)
    gate.cordon('a')
    expect(told).toBe(3)
    gate.uncordon('a')
    gate.state()
    for (const w of [first, second]) done(w!)
    expect(told).toBe(4)
    gate.state()
    gate.gone('a')
    expect(told).toBe(5)
    expect(third!.credit).not.toBe(null)
  })

  test('counts arrivals and completions and integrates what is in flight and what waits', () => {
    const { gate, take, clock } = setUp()
    gate.add('a', ORIGIN, 2)
    const jobs = take(3)
    clock.advance(100)
    jobs[0]!.credit!.release({ ms: 100, ok: true })
    clock.advance(50)
    jobs[1]!.credit!.release({ ms: 150, ok: false })
    jobs[2]!.credit!.release({ ms: 50, ok: true })
    clock.advance(1_000)
    expect(gate.counters()).toEqual({
      atMs: 1_150,
      arrivals: 3,
      completions: 3,
      failures: 1,
      serviceMs: 100,
      serviceMsSum: 300,
      inFlightMs: 2 * 150,
      queuedMs: 100,
    })
  })

  test('failures that come at once do not make the service look fast', () => {
    const { gate, take } = setUp()
    gate.add('a', ORIGIN, 0)
    for (const w of take(50)) w.credit!.release({ ms: 200, ok: true })
    for (const w of take(50)) w.credit!.release({ ms: 1, ok: false })
    expect(gate.counters().serviceMs).toBeCloseTo(200)
    for (const w of take(200)) w.credit!.release({ ms: 600, ok: false })
    expect(gate.counters().serviceMs).toBeGreaterThan(550)
  })

  test('says since when a pod is idle', () => {
    const { gate, take, clock } = setUp()
    clock.advance(5)
    gate.add('a', ORIGIN, 2)
    expect(gate.idleSinceOf('a')).toBe(5)
    const [w] = take(1)
    expect(gate.idleSinceOf('a')).toBe(null)
    clock.advance(10)
    done(w!)
    expect(gate.idleSinceOf('a')).toBe(15)
    expect(gate.idleSinceOf('nobody')).toBe(null)
  })

  test('says when there is room: open again, another pod, more credits', () => {
    let room = 0
    const { gate } = setUp()
    gate.onRoom(() => room++)
    gate.add('a', ORIGIN, 1)
    gate.setLimit('a', 2)
    gate.setLimit('a', 2)
    expect(room).toBe(2)
    gate.setOpen(false)
    expect([gate.open, room]).toEqual([false, 2])
    gate.setOpen(true)
    expect([gate.open, room]).toEqual([true, 3])
  })
})

/** A table kept the plain way, to hold against the indexed one. */
test('chooses as the plain rule does, through thousands of random steps', () => {
  let seed = 7
  const random = (n: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    return seed % n
  }
  const { gate } = setUp()
  const pods: { pod: string; limit: number; cordoned: boolean; jobs: Wish[] }[] = []
  const wrong: string[] = []
  let names = 0
  for (let step = 0; step < 20_000; step++) {
    const what = random(100)
    const some = pods.length === 0 ? undefined : pods[random(pods.length)]
    if (what < 50) {
      const room = pods.filter((p) => !p.cordoned && p.jobs.length < p.limit)
      const most = Math.max(0, ...room.map((p) => p.jobs.length))
      const expected = room.find((p) => p.jobs.length === most)
      if (expected === undefined) continue
      const w = wish()
      gate.acquire(w)
      if (w.credit?.pod !== expected.pod) wrong.push(`step ${step}: ${w.credit?.pod} instead of ${expected.pod}`)
      expected.jobs.push(w)
    } else if (what < 90) {
      const job = some?.jobs.splice(random(Math.max(1, some.jobs.length)), 1)[0]
      if (job !== undefined) done(job)
    } else if (what < 94) {
      const limit = 1 + random(8)
      pods.push({ pod: `p${++names}`, limit, cordoned: false, jobs: [] })
      gate.add(`p${names}`, ORIGIN, limit)
    } else if (some !== undefined && what < 96) {
      some.cordoned = !some.cordoned
      if (some.cordoned) gate.cordon(some.pod)
      else gate.uncordon(some.pod)
    } else if (some !== undefined && what < 97) {
      some.limit = 1 + random(8)
      gate.setLimit(some.pod, some.limit)
    } else if (some !== undefined && what < 99) {
      pods.splice(pods.indexOf(some), 1)
      gate.gone(some.pod)
    }
    expect(gate.state().inFlight).toBe(pods.reduce((sum, p) => sum + p.jobs.length, 0))
    expect(gate.state().limit).toBe(pods.filter((p) => !p.cordoned).reduce((sum, p) => sum + p.limit, 0))
  }
  expect(wrong).toEqual([])
  expect(names).toBeGreaterThan(500)
})
