import { readFileSync, watch } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { startGateway, type Gateway } from '../gateway.ts'
import { faultOf } from '../resources/faults.ts'
import { parseImages, type ImageMapping } from '../resources/images.ts'
import { digestOf, filesOf } from '../resources/load.ts'
import { systemClock } from '../runtime/clock.ts'
import { Fault, messageOf } from '../runtime/errors.ts'
import { createLog, stderrSink, type Log, type LogLevel } from '../runtime/log.ts'
import { memoryLimitBytes } from '../runtime/machine.ts'
import { systemRandom } from '../runtime/random.ts'
import { addressFrom, durationMsFrom, type Command, type Parsed } from './command.ts'

const LEVELS = ['debug', 'info', 'warn', 'error']

/** Changes of the manifests settle this long before they are read. */
const SETTLE_MS = 300

export const run: Command = {
  name: 'run',
  about:
    'Runs the gateway on manifests. Prints one line of JSON when it is ready; logs to standard error. SIGTERM drains, SIGHUP reloads.',
  usage: '-f PATH…',
  options: {
    file: {
      type: 'list',
      short: 'f',
      value: 'PATH',
      about: 'manifests: a file, a folder, or - for standard input; may be repeated',
    },
    listen: { type: 'string', value: 'HOST:PORT', about: 'data port', default: '127.0.0.1:8080' },
    admin: { type: 'string', value: 'HOST:PORT', about: 'admin port: metrics, probes, API, console', default: '127.0.0.1:9090' },
    keda: { type: 'string', value: 'HOST:PORT', about: "gRPC port of KEDA's external scaler; off unless given" },
    data: { type: 'string', value: 'DIR', about: 'data folder; one gateway at a time', default: '.sluice' },
    'data-persistent': { type: 'boolean', about: 'in Kubernetes: the data folder is a volume that outlives the pod' },
    domain: { type: 'string', value: 'NAME', about: 'Services are reached as {service}.{namespace}.NAME (default example.com)' },
    images: { type: 'string', value: 'FILE', about: 'YAML list that says which command runs an image' },
    self: { type: 'list', value: 'URL', about: 'another address of this gateway; sinks that name it need no HTTP' },
    grace: { type: 'string', value: 'TIME', about: 'what runs may take this long after SIGTERM', default: '30s' },
    http: { type: 'string', value: 'uws|node', about: 'HTTP server of the data port', default: 'uws' },
    'no-processes': { type: 'boolean', about: 'Services get no processes of this machine' },
    'admin-token-file': { type: 'string', value: 'FILE', about: 'token for an admin port that is not on loopback' },
    'admin-insecure': { type: 'boolean', about: 'leave reading open on an admin port that is not on loopback' },
    'admin-host': { type: 'list', value: 'NAME', about: 'another Host header the admin port answers to' },
    'metrics-detail': { type: 'string', value: 'trigger', about: 'histograms by trigger instead of by broker and source' },
    'log-level': { type: 'string', value: LEVELS.join('|'), about: 'least level that is logged', default: 'info' },
  },
  run: runGateway,
}

async function runGateway(args: Parsed): Promise<number> {
  const paths = args.list('file')
  if (paths.length === 0) throw new Fault('config.usage', 'run needs manifests: -f FILE, -f FOLDER or -f -')
  const sink = stderrSink()
  const log = createLog(sink, oneOf<LogLevel>(args, 'log-level', LEVELS as LogLevel[]), () => systemClock.wall())
  let fail: (e: Error) => void = () => {}
  const failed = new Promise<never>((_, reject) => (fail = reject))
  failed.catch(() => {})
  const digest = digestOf(paths)
  const gateway = await startGateway(settingsFrom(args, paths), {
    clock: systemClock,
    random: systemRandom,
    log,
    droppedLogLines: () => sink.dropped(),
    onFatal: fail,
  })
  // Before anybody is told: a signal or a change of the files that comes right after the line must not be missed.
  const over = stopped(gateway, { paths, digest }, log)
  const keda = gateway.kedaAddress === '' ? {} : { keda: gateway.kedaAddress }
  const line = { event: 'ready', pid: process.pid, listen: gateway.url, admin: gateway.adminUrl, ...keda }
  process.stdout.write(JSON.stringify(line) + '\n')
  try {
    await Promise.race([over, failed])
    return 0
  } catch (e) {
    log.error('the gateway stops', { error: messageOf(e) })
    return 1
  } finally {
    sink.flushNow()
    // Whatever a library keeps open must not keep a drained gateway alive.
    setTimeout(() => process.exit(), 100).unref()
  }
}

function settingsFrom(args: Parsed, paths: readonly string[]): Parameters<typeof startGateway>[0] {
  const detail = args.text('metrics-detail')
  if (detail !== '' && detail !== 'trigger')
    throw new Fault('config.usage', `--metrics-detail is "${detail}"; the only detail is trigger`)
  return {
    paths,
    stdin: paths.includes('-') ? readFileSync(0, 'utf8') : '',
    listen: addressFrom(args.text('listen'), 'listen'),
    admin: addressFrom(args.text('admin'), 'admin'),
    keda: args.text('keda') === '' ? null : addressFrom(args.text('keda'), 'keda'),
    dataDir: resolve(args.text('data')),
    // Every pod has this variable; what it writes beside a volume goes with it.
    dataPersistent: args.flag('data-persistent') || (process.env['KUBERNETES_SERVICE_HOST'] ?? '') === '',
    domain: args.text('domain'),
    images: imagesFrom(args.text('images')),
    self: args.list('self'),
    graceMs: durationMsFrom(args.text('grace'), 'grace'),
    http: oneOf(args, 'http', ['uws', 'node']),
    processes: !args.flag('no-processes'),
    adminTokenFile: args.text('admin-token-file'),
    adminInsecure: args.flag('admin-insecure'),
    adminHosts: args.list('admin-host'),
    metricsDetail: detail === 'trigger',
    traces: tracesWanted(),
    memoryLimitBytes: memoryLimitBytes(),
    inherited: { path: process.env['PATH'] ?? '/usr/bin:/bin', home: process.env['HOME'] ?? '/' },
  }
}

/** The variables of the OpenTelemetry specification; the endpoint itself is read by its exporter. */
function tracesWanted(): boolean {
  const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_SDK_DISABLED } = process.env
  const endpoint = OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? OTEL_EXPORTER_OTLP_ENDPOINT ?? ''
  return endpoint !== '' && OTEL_SDK_DISABLED?.toLowerCase() !== 'true'
}

function oneOf<T extends string>(args: Parsed, option: string, allowed: readonly T[]): T {
  const text = args.text(option)
  const found = allowed.find((a) => a === text)
  if (found === undefined) throw new Fault('config.usage', `--${option} is "${text}"; allowed are ${allowed.join(', ')}`)
  return found
}

/** Folders in the list are relative to the file that names them. */
function imagesFrom(file: string): readonly ImageMapping[] {
  if (file === '') return []
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (e) {
    throw new Fault('config.usage', `cannot read --images: ${messageOf(e)}`, e)
  }
  const { images, faults } = parseImages(text, file)
  if (faults.length > 0) throw faultOf(faults)
  return images.map((i) => ({ ...i, workingDir: i.workingDir === '' ? '' : resolve(dirname(file), i.workingDir) }))
}

/**
 * Resolves when a signal has been obeyed; reloads on SIGHUP and when the manifests have changed since `digest`, not when
 * another file of their folder has (the log of this very gateway may be one).
 */
function stopped(
  gateway: Gateway,
  { paths, digest }: { readonly paths: readonly string[]; readonly digest: string },
  log: Log,
): Promise<void> {
  return new Promise((done, failed) => {
    let stopping = false
    const stop = (): void => {
      // A second signal means: now.
      if (stopping) process.exit(1)
      stopping = true
      log.info('stopping')
      gateway.stop().then(done, failed)
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
    let known = digest
    const settled = (then: () => void): (() => void) => {
      let timer: NodeJS.Timeout | undefined
      return () => {
        clearTimeout(timer)
        timer = setTimeout(then, SETTLE_MS)
      }
    }
    const reload = (): void => {
      known = digestOf(paths)
      if (!stopping) gateway.reload().catch((e: unknown) => log.error('the reload failed', { error: messageOf(e) }))
    }
    const look = (): void => {
      if (digestOf(paths) !== known) reload()
    }
    process.on('SIGHUP', settled(reload))
    const changed = settled(look)
    for (const path of paths.filter((p) => p !== '-')) watchPath(path, changed, log)
  })
}

function watchPath(path: string, changed: () => void, log: Log): void {
  for (const target of new Set([path, ...filesOf(path, []).map((f) => dirname(f))])) {
    try {
      watch(target, changed).on('error', () => {})
    } catch (e) {
      log.warn('changes of this path are not noticed; SIGHUP reloads', { path: target, error: messageOf(e) })
    }
  }
}
