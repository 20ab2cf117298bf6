import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { nkeys } from '@nats-io/transport-node'
import { afterEach, describe, expect, test } from 'vitest'
import { Secret } from '../../src/runtime/secret.ts'
import { NatsAdmin } from '../../src/vendor/nats/admin.ts'
import type { NatsError } from '../../src/vendor/nats/errors.ts'
import { NatsLink, type NatsLogin, type NatsTls } from '../../src/vendor/nats/link.ts'
import { certificates } from '../servers/kafka-files.ts'
import { type NatsServer, ownNats, startNats } from '../servers/nats.ts'
import { until } from '../until.ts'

const nats = ownNats()

type Pair = ReturnType<typeof nkeys.createUser>

const seedOf = (pair: Pair): string => new TextDecoder().decode(pair.getSeed())

/** A token as NATS signs them. NATS ADR-14 */
function jwt(signer: Pair, subject: string, name: string, claims: Readonly<Record<string, unknown>>): string {
  const b64 = (text: string | Uint8Array): string => Buffer.from(text).toString('base64url')
  const payload = { iat: 1_700_000_000, iss: signer.getPublicKey(), name, sub: subject, nats: { version: 2, ...claims } }
  const jti = createHash('sha256').update(JSON.stringify(payload)).digest('hex')
  const text = `${b64('{"typ":"JWT","alg":"ed25519-nkey"}')}.${b64(JSON.stringify({ jti, ...payload }))}`
  return `${text}.${b64(signer.sign(Buffer.from(text)))}`
}

/** An operator, an account with JetStream, and the credentials file of a user. */
function operatorMode(): { readonly config: string; readonly creds: string } {
  const [operator, account, user] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createUser()]
  const system = nkeys.createAccount().getPublicKey()
  const all = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 }
  const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 }
  const accountKey = account.getPublicKey()
  const limits = { limits: { ...all, ...storage }, type: 'account', default_permissions: { pub: {}, sub: {} } }
  const userJwt = jwt(account, user.getPublicKey(), 'u', { type: 'user', pub: {}, sub: {}, subs: -1, data: -1, payload: -1 })
  return {
    config: `operator: ${jwt(operator, operator.getPublicKey(), 'o', { type: 'operator' })}
      system_account: ${system}
      resolver: MEMORY
      resolver_preload: {
        ${accountKey}: ${jwt(operator, accountKey, 'a', limits)}
        ${system}: ${jwt(operator, system, 'sys', { ...limits, limits: all })}
      }`,
    creds: [
      '-----BEGIN NATS USER JWT-----',
      userJwt,
      '------END NATS USER JWT------',
      '-----BEGIN USER NKEY SEED-----',
      seedOf(user),
      '------END USER NKEY SEED------',
      '',
    ].join('\n'),
  }
}

describe.skipIf(nats.skip)(`the connection to NATS${nats.note}`, () => {
  const open: { link?: NatsLink; server?: NatsServer } = {}
  afterEach(async () => {
    await open.link?.close()
    await open.server?.stop()
  })

  const link = (url: string, login: NatsLogin | null, tls: NatsTls | null = null) => {
    const seen: { ups: number; troubles: NatsError[] } = { ups: 0, troubles: [] }
    const made = new NatsLink(
      { servers: [url], login, tls, name: 'test' },
      { up: () => seen.ups++, down: () => {}, trouble: (e) => seen.troubles.push(e) },
    )
    open.link = made
    made.start()
    return { link: made, seen }
  }
  const server = async (config: string): Promise<string> => {
    open.server = await startNats({ config })
    return open.server.url
  }
  /** It is up, and may use JetStream. */
  const works = async (l: NatsLink): Promise<void> => {
    await until('it is up', () => l.up)
    expect(await new NatsAdmin(() => l.admin).stream('NONE')).toBeNull()
  }

  test('lets us in with a token', async () => {
    const url = await server('authorization { token: "hunter2" }')
    await works(link(url, { kind: 'token', token: new Secret('hunter2') }).link)
  })

  test('lets us in with an nkey', async () => {
    const user = nkeys.createUser()
    const url = await server(`authorization { users: [{ nkey: ${user.getPublicKey()} }] }`)
    await works(link(url, { kind: 'nkey', seed: new Secret(seedOf(user)) }).link)
  })

  test('lets us in with a credentials file', async () => {
    const { config, creds } = operatorMode()
    const url = await server(config)
    await works(link(url, { kind: 'creds', creds: new Secret(creds) }).link)
  })

  test.each<[string, NatsLogin | null]>([
    ['nothing', null],
    ['a wrong token', { kind: 'token', token: new Secret('through-the-mirror') }],
    ['a seed that is none', { kind: 'nkey', seed: new Secret('through-the-mirror') }],
    ['a credentials file that is none', { kind: 'creds', creds: new Secret('through-the-mirror') }],
  ])('with %s it says that it was not let in, and goes on trying', async (_what, login) => {
    const url = await server('authorization { token: "hunter2" }')
    const { link: l, seen } = link(url, login)
    await until('it was refused twice', () => seen.troubles.length >= 2)
    expect(seen.troubles.map((e) => e.reason)).toContain('Unauthorized')
    expect(seen.troubles.map((e) => e.message).join()).not.toContain('through-the-mirror')
    expect(l.up).toBe(false)
  })

  test('a server that is killed is noticed, and one that comes back is used', async () => {
    const url = await server('')
    const { link: l, seen } = link(url, null)
    await works(l)
    const heard: string[] = []
    const inbox = l.listen('x', (m) => heard.push(new TextDecoder().decode(m.data)))
    l.publish(inbox, '', '', 'one')
    await until('it is heard', () => heard.length === 1)
    await open.server?.kill()
    await until('it is noticed', () => !l.up)
    expect(l.publish(inbox, '', '', 'lost')).toBe(false)
    await open.server?.restart()
    await until('it is back', () => seen.ups === 2)
    l.publish(inbox, '', '', 'two')
    await until('what was listened to still is', () => heard.length === 2)
    expect(heard).toEqual(['one', 'two'])
  })

  test('lets us in with our certificate, and trusts only who signed the server', async () => {
    const files = await certificates()
    const folder = dirname(files.brokerStore)
    const [cert, key] = ['broker.crt', 'broker.key'].map((name) => join(folder, name))
    const url = await server(`tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${files.ca}", verify: true }`)
    const [ca, ownCert, ownKey] = await Promise.all([files.ca, files.clientCert, files.clientKey].map((f) => readFile(f, 'utf8')))
    const ours = { cert: ownCert ?? '', key: new Secret(ownKey ?? '') }
    const { link: stranger, seen } = link(url, null, { ca: '', ...ours })
    await until('it is refused', () => seen.troubles.length > 0)
    expect(stranger.up).toBe(false)
    await stranger.close()
    await works(link(url, null, { ca: ca ?? '', ...ours }).link)
  })
})
