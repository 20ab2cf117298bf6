import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fault, messageOf } from '../runtime/errors.ts'
import { Secret } from '../runtime/secret.ts'

/** What decides who may read and write at the ports beside the data port. */
export interface AccessSettings {
  readonly admin: { readonly host: string }
  /** Token file for an admin port that is not on loopback, '' = none. */
  readonly adminTokenFile: string
  readonly adminInsecure: boolean
  readonly dataDir: string
}

/** Only this machine reaches it. */
export function isLoopback(host: string): boolean {
  return ['127.0.0.1', '::1', 'localhost'].includes(host)
}

/** KEDA brings no token: what it may read is open to whoever reaches the port. */
export function refuseOpenKeda(host: string, settings: AccessSettings): void {
  if (isLoopback(host) || settings.adminInsecure) return
  throw new Fault(
    'config.usage',
    `--keda ${host} is not loopback and KEDA brings no token: give --admin-insecure to leave reading open`,
  )
}

/** The token of the data folder (0600, made once), or the one of `--admin-token-file`. */
export function adminToken(settings: AccessSettings): Secret {
  const loopback = isLoopback(settings.admin.host)
  if (settings.adminTokenFile !== '') {
    try {
      return new Secret(readFileSync(settings.adminTokenFile, 'utf8').trim())
    } catch (e) {
      throw new Fault('config.usage', `cannot read --admin-token-file: ${messageOf(e)}`, e)
    }
  }
  if (!loopback && !settings.adminInsecure) {
    throw new Fault(
      'config.usage',
      `--admin ${settings.admin.host} is not loopback: give --admin-token-file, or --admin-insecure to leave reading open`,
    )
  }
  try {
    mkdirSync(settings.dataDir, { recursive: true })
    const file = join(settings.dataDir, 'admin.token')
    if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString('base64url') + '\n', { mode: 0o600 })
    return new Secret(readFileSync(file, 'utf8').trim())
  } catch (e) {
    return unusable(settings.dataDir, e)
  }
}

/** A folder that cannot be made or written is told in a sentence; what has one already passes. */
export function unusable(dir: string, e: unknown): never {
  if (e instanceof Fault) throw e
  throw new Fault('store.folder', `the data folder ${dir} cannot be used: ${messageOf(e)}`, e)
}
