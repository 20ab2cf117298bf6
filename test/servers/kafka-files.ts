import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const CACHE = fileURLToPath(new URL('../../.cache/kafka', import.meta.url))
const POM = fileURLToPath(new URL('kafka/pom.xml', import.meta.url))

export type KafkaVersion = '4.1.2' | '3.9.2'

/** Why no Kafka can be started here, '' when it can. */
export async function whyNoKafka(): Promise<string> {
  for (const [tool, arg] of [
    ['java', '-version'],
    ['mvn', '-v'],
  ] as const) {
    try {
      await run(tool, [arg])
    } catch {
      return `needs ${tool} on the PATH, or KAFKA_BOOTSTRAP`
    }
  }
  return ''
}

/** The jars of that version, from Maven Central through Maven, once a checkout. */
export async function kafkaJars(version: KafkaVersion): Promise<string> {
  const lib = join(CACHE, version, 'lib')
  if (existsSync(lib) && (await readdir(lib)).length > 80) return lib
  const fresh = join(CACHE, version, `lib.${process.pid}`)
  await mkdir(fresh, { recursive: true })
  await run('mvn', [
    '-q',
    '-B',
    '-f',
    POM,
    version.startsWith('3') ? '-Preload4j' : '-Plog4j2',
    `-Dkafka.version=${version}`,
    'dependency:copy-dependencies',
    '-DincludeScope=runtime',
    `-DoutputDirectory=${fresh}`,
  ])
  await settleIn(fresh, lib)
  return lib
}

/** Renames what was made under a name of its own to its place; whoever comes second throws his away. */
export async function settleIn(fresh: string, place: string): Promise<void> {
  try {
    await rename(fresh, place)
  } catch {
    await rm(fresh, { recursive: true, force: true })
  }
}

/** A class-data archive belongs to one build of Java: its name says which. */
export async function javaBuild(): Promise<string> {
  const { stderr } = await run('java', ['-version'])
  return createHash('sha256').update(stderr).digest('hex').slice(0, 12)
}

export interface Certificates {
  /** PEM: key and certificate in one file, as a broker takes them. */
  readonly brokerStore: string
  readonly ca: string
  readonly clientCert: string
  readonly clientKey: string
}

/** A certificate authority of the tests with one broker (127.0.0.1, localhost) and one client certificate. */
export async function certificates(): Promise<Certificates> {
  const place = join(CACHE, 'certificates')
  const files = {
    brokerStore: join(place, 'broker.pem'),
    ca: join(place, 'ca.crt'),
    clientCert: join(place, 'client.crt'),
    clientKey: join(place, 'client.key'),
  }
  if (existsSync(place)) return files
  const fresh = join(CACHE, `certificates.${process.pid}`)
  await mkdir(fresh, { recursive: true })
  await run('sh', ['-euc', MAKE_CERTIFICATES], { cwd: fresh })
  await settleIn(fresh, place)
  return files
}

const MAKE_CERTIFICATES = `
new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
new_key ca
openssl req -x509 -new -key ca.key -subj /CN=test-ca -days 3650 -out ca.crt
for name in broker client; do
  new_key $name
  openssl req -new -key $name.key -subj /CN=$name -out $name.csr
  printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\\n' > $name.ext
  openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile $name.ext -out $name.crt
done
cat broker.key broker.crt ca.crt > broker.pem
`
