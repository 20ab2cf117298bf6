import { cpus } from 'node:os'
import { autoscaleMany } from './autoscale-many.ts'
import { autoscaler } from './autoscaler.ts'
import { print, reached, type Scenario } from './figures.ts'
import { fanOut, idle, ingress, latency } from './http.ts'
import { kafkaToHttp, live, ordered, slowService, stopKafka } from './kafka.ts'
import { streams } from './streams.ts'

const SCENARIOS: readonly Scenario[] = [
  kafkaToHttp,
  live,
  streams,
  ingress,
  fanOut,
  ordered,
  slowService,
  latency,
  idle,
  autoscaler,
  autoscaleMany,
]

const args = process.argv.slice(2)
const check = args.includes('--check')
const at = args.indexOf('--count')
const count = at < 0 ? 0 : Number(args[at + 1])
const onlyAt = args.indexOf('--only')
const only = onlyAt < 0 ? [] : (args[onlyAt + 1] ?? '').split(',')
const names = args.filter((a, i) => !a.startsWith('--') && (at < 0 || i !== at + 1) && (onlyAt < 0 || i !== onlyAt + 1))
if (args.includes('--help') || !Number.isFinite(count)) {
  console.log(
    `npm run bench -- [NAME …] [--check] [--count N] [--only SYSTEM,…]\n\n${SCENARIOS.map((s) => `  ${s.name.padEnd(16)} ${s.about}`).join('\n')}\n\n--check   says of each target whether it is reached; exit 1 if one is not\n--count   events of a scenario instead of its own number\n--only    of streams: embedded, kafka, nats, rabbitmq, rocketmq\n\nKAFKA_BOOTSTRAP=HOST:PORT, RABBITMQ_PORT=PORT (of guest, here), ROCKETMQ_ADDRESSES=PROXY,NAMESERVER: servers that run already`,
  )
  process.exit(args.includes('--help') ? 0 : 2)
}
const unknown = names.filter((n) => !SCENARIOS.some((s) => s.name === n))
if (unknown.length > 0) {
  console.error(`there is no benchmark ${unknown.join(', ')}; there are ${SCENARIOS.map((s) => s.name).join(', ')}`)
  process.exit(2)
}

console.log(`${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${cpus().length} cores, Node ${process.versions.node}`)
let failed = 0
for (const scenario of SCENARIOS.filter((s) => names.length === 0 || names.includes(s.name))) {
  const figures = await scenario.run(count, only)
  if (figures.length === 0 || figures.some((f) => !Number.isFinite(f.value)))
    throw new Error(`${scenario.name}: a figure is missing`)
  print(scenario, figures, check)
  failed += figures.filter((f) => reached(f) === false).length
}
await stopKafka()
process.exit(check && failed > 0 ? 1 : 0)
