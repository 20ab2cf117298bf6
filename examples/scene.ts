import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseAllDocuments } from 'yaml'

/** A gateway started for a scene, with a folder of its own that goes when it stops. */
export interface Scene {
  readonly folder: string
  readonly listen: string
  readonly admin: string
  /** What the pods wrote down: one line an event that reached a pod. */
  account(): Account
  stop(): Promise<void>
}

export interface Account {
  /** Event id → times it was delivered. */
  readonly delivered: ReadonlyMap<string, number>
  readonly pods: number
  readonly mostInFlightOnOnePod: number
  readonly overLimit: number
}

/** A resource, as far as a scene changes one. */
export interface Manifest {
  kind: string
  metadata: { name: string; annotations?: Record<string, string> }
  spec: {
    template?: {
      metadata?: { annotations?: Record<string, string> }
      spec: { containers: { env?: { name: string; value: string }[] }[] }
    }
  }
}

const root = dirname(import.meta.dirname)

/**
 * Starts `sluice run` on a copy of the manifests in which the pods keep an account. `change` may edit each manifest first.
 */
export async function startScene(
  manifestFile: string,
  change: (m: Manifest) => void,
  log: (line: string) => void,
): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-scene-'))
  const accounts = join(folder, 'accounts')
  mkdirSync(accounts)
  const manifests = parseAllDocuments(readFileSync(manifestFile, 'utf8')).map((d) => d.toJS() as Manifest)
  for (const manifest of manifests) {
    change(manifest)
    for (const container of manifest.spec?.template?.spec.containers ?? [])
      (container.env ??= []).push({ name: 'ACCOUNT_DIR', value: accounts })
  }
  writeFileSync(join(folder, 'scene.json'), JSON.stringify({ kind: 'List', apiVersion: 'v1', items: manifests }))
  const gateway = spawn(
    process.execPath,
    [
      join(root, 'bin', 'sluice.js'),
      'run',
      '-f',
      join(folder, 'scene.json'),
      '--images',
      join(root, 'examples', 'images.yaml'),
      // The port is picked by the system; the manifests speak of the usual one.
      '--self',
      'http://127.0.0.1:8080',
      '--listen',
      '127.0.0.1:0',
      '--admin',
      '127.0.0.1:0',
      '--data',
      join(folder, 'data'),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  createInterface({ input: gateway.stderr }).on('line', log)
  const ready = await readyLine(gateway)
  return {
    folder,
    listen: ready.listen,
    admin: ready.admin,
    account: () => readAccounts(accounts),
    async stop() {
      const ended = new Promise((resolve) => gateway.once('exit', resolve))
      gateway.kill('SIGTERM')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function readyLine(gateway: ChildProcess): Promise<{ listen: string; admin: string }> {
  return new Promise((resolve, reject) => {
    gateway.once('exit', (code) => reject(new Error(`the gateway ended with ${code} before it was ready`)))
    if (gateway.stdout === null) return reject(new Error('the gateway has no standard output'))
    createInterface({ input: gateway.stdout }).once('line', (line) =>
      resolve(JSON.parse(line) as { listen: string; admin: string }),
    )
  })
}

function readAccounts(dir: string): Account {
  const delivered = new Map<string, number>()
  let most = 0
  let overLimit = 0
  const files = readdirSync(dir)
  for (const file of files) {
    for (const line of readFileSync(join(dir, file), 'utf8').split('\n')) {
      const [id, concurrency, status] = line.split(' ')
      if (id === undefined || concurrency === undefined) continue
      delivered.set(id, (delivered.get(id) ?? 0) + 1)
      most = Math.max(most, Number(concurrency))
      if (status !== '200') overLimit++
    }
  }
  return { delivered, pods: files.length, mostInFlightOnOnePod: most, overLimit }
}

/** What the terminal shows of one moment. */
export interface Moment {
  readonly pods: number
  readonly wanted: number
  readonly inFlight: number
  readonly queued: number
  readonly delivered: number
}

/** On a machine so busy that a kept connection has timed out at the other end, the next call would fail. */
const ONE_CALL = { headers: { connection: 'close' } }

export async function look(admin: string): Promise<Moment> {
  const snapshot = (await (await fetch(`${admin}/api/v1/snapshot`, ONE_CALL)).json()) as {
    services: {
      observation: { pods: { phase: string }[] }
      desired: number
      gate: { inFlight: number; queuedEvents: number; queuedRequests: number }
    }[]
    subscriptions: { delivered: number; waiting: number; backlog: number }[]
  }
  const [service] = snapshot.services
  return {
    pods: service?.observation.pods.filter((p) => p.phase === 'ready').length ?? 0,
    wanted: service?.desired ?? 0,
    inFlight: service?.gate.inFlight ?? 0,
    queued: (service?.gate.queuedEvents ?? 0) + (service?.gate.queuedRequests ?? 0),
    delivered: snapshot.subscriptions.reduce((sum, s) => sum + s.delivered, 0),
  }
}

/** `▮▮▮▮▯▯` of that width. */
export function bar(value: number, most: number, width: number): string {
  const full = Math.max(0, Math.min(width, Math.round((value / Math.max(1, most)) * width)))
  return '▮'.repeat(full) + '▯'.repeat(width - full)
}
