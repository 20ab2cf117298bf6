import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { broker, startGateway, temporaryFolder, trigger } from '../gateway.ts'
import { startSink } from '../sink.ts'
import { until } from '../until.ts'

/** A disk of its own, a few dozen MiB large; null where this user may mount none. */
interface SmallDisk {
  readonly folder: string
  unmount(): void
}

const run = (command: string, args: readonly string[]): string =>
  execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    .toString()
    .trim()

/** A file system in a file where loop devices are to be had, else one in memory. */
function smallDisk(mib: number): SmallDisk | null {
  const base = temporaryFolder()
  const folder = join(base, 'disk')
  mkdirSync(folder)
  const unmount = (): void => {
    run('umount', ['-l', folder])
  }
  try {
    const image = join(base, 'image')
    writeFileSync(image, '')
    truncateSync(image, mib * 2 ** 20)
    run('mkfs.ext4', ['-q', '-F', image])
    run('mount', ['-o', 'loop', image, folder])
    return { folder, unmount }
  } catch {
    try {
      run('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', folder])
      return { folder, unmount }
    } catch {
      return null
    }
  }
}

const probe = smallDisk(16)
probe?.unmount()
const note = probe === null ? ' (skipped: needs the right to mount)' : ''

const closing: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
function disk(mib: number): SmallDisk {
  const d = smallDisk(mib)
  if (d === null) throw new Error('a disk could be mounted a moment ago')
  closing.push(() => d.unmount())
  return d
}
const freeOf = (folder: string): number => {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

async function post(
  url: string,
  id: string,
  bytes: number,
): Promise<{ status: number; retryAfter: string | null; message: string }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-source': '/test',
      'ce-type': 'test.event',
      'content-type': 'text/plain',
    },
    body: 'x'.repeat(bytes),
  })
  return { status: response.status, retryAfter: response.headers.get('retry-after'), message: await response.text() }
}

describe.skipIf(probe === null)(`a disk that is full${note}`, () => {
  test('events are refused with 429 before the disk is; what was acknowledged drains, then it takes again', async () => {
    const { folder } = disk(96)
    let well = false
    const sink = await startSink((_seen, response) => response.writeHead(well ? 200 : 503).end())
    closing.push(() => sink.close())
    const manifests = [
      broker('default', { annotations: { 'sluice.dev/retention': 'PT1S' } }),
      trigger('slow', sink.url, {
        spec: { delivery: { retry: 1_000, backoffPolicy: 'linear', backoffDelay: 'PT0.2S' } },
        annotations: { 'sluice.dev/max-concurrency': '8' },
      }),
    ]
    const data = join(folder, 'data')
    let g = await startGateway({ manifests, data })
    closing.push(() => g.kill())
    const taken = new Set<string>()
    const fill = async (from: number): Promise<{ status: number; retryAfter: string | null; message: string }> => {
      for (let n = from; n < from + 2_000; n++) {
        const answer = await post(`${g.listen}/default/default`, `e${n}`, 64 * 1024)
        if (answer.status !== 202) return answer
        taken.add(`e${n}`)
      }
      throw new Error('it took everything')
    }
    const refused = await fill(0)
    expect(refused.status).toBe(429)
    expect(Number(refused.retryAfter)).toBeGreaterThanOrEqual(1)
    expect(refused.message).toMatch(/unsettled|disk/)
    expect(taken.size).toBeGreaterThan(50)
    expect(freeOf(folder)).toBeGreaterThan(0)

    // A restart on the full disk finds everything that was acknowledged, and is full again after a few more at most.
    await g.kill()
    g = await startGateway({ manifests, data })
    expect((await fill(10_000)).status).toBe(429)
    expect(freeOf(folder)).toBeGreaterThan(0)
    const degraded = (await g.api<{ degraded: { resource: string; message: string }[] }>('/readyz')).degraded
    expect(degraded.map((d) => d.resource)).toContain('broker/default/default')

    well = true
    await until('it has drained', async () => {
      const { subscriptions } = await g.api<{ subscriptions: { waiting: number; backlog: number }[] }>('/api/v1/snapshot')
      return subscriptions[0]?.waiting === 0 && subscriptions[0].backlog === 0
    })
    const counts = sink.counts()
    expect([...taken].filter((id) => !counts.has(id))).toEqual([])
    await until('it takes again', async () => (await post(`${g.listen}/default/default`, 'again', 64 * 1024)).status === 202)
    await until('that arrives too', () => sink.counts().has('again'))
    // What was refused never comes: it was not stored.
    expect([...sink.counts().keys()].filter((id) => !taken.has(id))).toEqual(['again'])
  })

  test('somebody else fills the disk to its last byte: nothing is acknowledged that is not stored, what was is delivered', async () => {
    const { folder } = disk(64)
    const sink = await startSink()
    closing.push(() => sink.close())
    const manifests = [broker(), trigger('all', sink.url)]
    const data = join(folder, 'data')
    let g = await startGateway({ manifests, data })
    closing.push(() => g.kill())
    const taken = new Set<string>()
    let n = 0
    const send = async (): Promise<number> => {
      const id = `e${n++}`
      const { status } = await post(`${g.listen}/default/default`, id, 16 * 1024)
      if (status === 202) taken.add(id)
      return status
    }
    for (let i = 0; i < 20; i++) expect(await send()).toBe(202)
    const hog = join(folder, 'hog')
    const fillUp = (): void => {
      for (const size of [1 << 20, 4_096]) {
        for (let i = 0; ; i++) {
          try {
            writeFileSync(hog, Buffer.alloc(size, 1), { flag: 'a' })
          } catch {
            break
          }
        }
      }
    }
    fillUp()
    expect(freeOf(folder)).toBeLessThan(64 * 1024)
    const statuses = new Set<number>()
    await until('it refuses', async () => {
      const status = await send()
      statuses.add(status)
      return status === 429
    })
    for (const status of statuses) expect([202, 429, 503]).toContain(status)
    await until('what was acknowledged is delivered', () => [...taken].every((id) => sink.counts().has(id)))
    // The process has neither died nor lost anything: killed here and started with room, it knows all positions.
    await g.kill()
    rmSync(hog)
    g = await startGateway({ manifests, data })
    await until('it takes again', async () => (await send()) === 202)
    await until('all arrive', () => [...taken].every((id) => sink.counts().has(id)))
  })

  test('the disk is full at the start: a sentence and exit 1, or it runs and refuses; never a crash', async () => {
    const { folder } = disk(32)
    const hog = join(folder, 'hog')
    for (let size = 1 << 20; size >= 4_096;) {
      try {
        writeFileSync(hog, Buffer.alloc(size, 1), { flag: 'a' })
      } catch {
        size >>= 1
      }
    }
    const started = await startGateway({ manifests: [broker()], data: join(folder, 'data') }).then(
      (g) => {
        closing.push(() => g.kill())
        return g
      },
      (e: unknown) => String(e),
    )
    if (typeof started === 'string') {
      expect(started).toMatch(/ended with 1/)
      expect(started).not.toMatch(/\n\s+at /)
      expect(started).toMatch(/space/)
    } else expect((await post(`${started.listen}/default/default`, 'e', 10)).status).toBe(429)
  })
})
