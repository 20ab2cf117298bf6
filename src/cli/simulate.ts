import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { cellsOf, notWon, verdictOf, type Cell } from '../autoscaler/simulator/check.ts'
import { plotSvg } from '../autoscaler/simulator/plot.ts'
import { POLICIES } from '../autoscaler/simulator/policies.ts'
import type { Policy } from '../autoscaler/simulator/policy.ts'
import { checkTable, columns, runData, runTable } from '../autoscaler/simulator/report.ts'
import { simulate as play } from '../autoscaler/simulator/run.ts'
import type { Scene } from '../autoscaler/simulator/scene.ts'
import { suiteScene, SUITE } from '../autoscaler/simulator/suite.ts'
import { sweep, sweepSvg } from '../autoscaler/simulator/sweep.ts'
import { sceneFromTrace } from '../autoscaler/simulator/traces.ts'
import { Fault, messageOf } from '../runtime/errors.ts'
import { durationMsFrom, numberFrom, type Command, type Parsed } from './command.ts'

/** Where a checkout keeps the published traces. */
const TRACES = join(import.meta.dirname, '..', '..', 'test', 'conformance', 'suites', 'traces')

/** Hours of load through the very deciders that scale, in seconds. */
export const simulate: Command = {
  name: 'simulate',
  about:
    'Play a load against autoscalers on a virtual clock. The load is a scene of the suite or a trace file\n' +
    `(scenes: ${SUITE.join(', ')};\npolicies: ${Object.keys(POLICIES).join(', ')}).`,
  usage: '[--scene NAME | --trace FILE] [--policy NAMES] [--plot FILE] | --sweep | --check',
  options: {
    scene: { type: 'string', value: 'NAME', about: 'a scene of the suite' },
    trace: { type: 'string', value: 'FILE', about: 'a trace: period,count or TIMESTAMP,ContextTokens,GeneratedTokens' },
    policy: { type: 'string', value: 'NAMES', about: 'policies, separated by commas', default: 'xpa,kpa,hpa,keda,oracle' },
    'service-time': { type: 'string', value: 'TIME', about: 'mean service time of a counting trace', default: '100ms' },
    'cold-start': { type: 'string', value: 'TIME', about: 'mean time until a pod is ready', default: '8s' },
    limit: { type: 'string', value: 'N', about: 'slots of a pod, for a trace', default: '10' },
    'min-scale': { type: 'string', value: 'N', about: 'least pods', default: '0' },
    from: { type: 'string', value: 'TIME', about: 'begin so far into the trace', default: '0s' },
    duration: { type: 'string', value: 'TIME', about: 'play so much of the trace', default: '24h' },
    scale: { type: 'string', value: 'X', about: 'multiply the counts of a trace', default: '1' },
    seed: { type: 'string', value: 'N', about: 'the same seed gives the same run', default: '1' },
    plot: { type: 'string', value: 'FILE', about: 'write demand against pods as SVG (with --sweep: the curve)' },
    sweep: { type: 'boolean', about: 'vary the knobs of xpa and kpa' },
    check: { type: 'boolean', about: 'play the whole suite and say what is reached; exit 1 where something is missed' },
    log: { type: 'boolean', about: 'print the decisions and their reasons' },
    output: { type: 'string', short: 'o', value: 'FORMAT', about: 'text or json', default: 'text' },
  },
  run(args) {
    const seed = numberFrom(args.text('seed'), 'seed')
    if (args.flag('check')) return Promise.resolve(check(args, seed))
    const scene = sceneFor(args, seed)
    const setup = {
      coldStartMs: durationMsFrom(args.text('cold-start'), 'cold-start'),
      minScale: numberFrom(args.text('min-scale'), 'min-scale'),
      seed,
    }
    const json = args.text('output') === 'json'
    if (args.flag('sweep')) {
      const points = sweep(scene, setup)
      const rows = points.map((p) => [
        `${p.policy} ${p.setting}`,
        p.podS.toFixed(0),
        p.waitedPercent.toFixed(2),
        p.p99Ms.toFixed(0),
      ])
      process.stdout.write(json ? `${JSON.stringify(points)}\n` : columns([['setting', 'pod-s', 'waited %', 'p99 ms'], ...rows]))
      if (args.text('plot') !== '') writeFileSync(args.text('plot'), sweepSvg(scene.name, points))
      return Promise.resolve(0)
    }
    const runs = policiesFrom(args.text('policy')).map((policy) => play(scene, policy, setup))
    if (json) process.stdout.write(`${JSON.stringify(runs.map(runData))}\n`)
    else process.stdout.write(`${scene.name}: ${scene.about}\n\n${runTable(runs)}`)
    if (args.flag('log')) for (const r of runs) process.stdout.write(`\n${r.policy}\n${r.log.join('\n')}\n`)
    if (args.text('plot') !== '') writeFileSync(args.text('plot'), plotSvg(`${scene.name}: ${scene.about}`, scene.limit, runs))
    return Promise.resolve(0)
  },
}

function check(args: Parsed, seed: number): number {
  const names = args.text('scene') === '' ? SUITE : args.text('scene').split(',')
  const cells: Cell[] = []
  for (const name of names) {
    const scene = suiteScene(name, seed, readTrace)
    if (scene === null) process.stderr.write(`${name}: not played, no such scene or its trace is not here\n`)
    else cells.push(...cellsOf(scene, seed))
  }
  const verdict = verdictOf(cells)
  if (args.text('output') === 'json') {
    const weak = cells.map((c) => ({ ...c, notWon: notWon(c) }))
    process.stdout.write(`${JSON.stringify({ passed: verdict.passed, lines: verdict.lines, cells: weak })}\n`)
  } else process.stdout.write(`${checkTable(cells)}\n${verdict.lines.join('\n')}\n`)
  return verdict.passed ? 0 : 1
}

function readTrace(file: string): string | null {
  const path = join(TRACES, file)
  return existsSync(path) ? readFileSync(path, 'utf8') : null
}

function sceneFor(args: Parsed, seed: number): Scene {
  const file = args.text('trace')
  if (file === '') {
    const name = args.text('scene')
    if (name === '') throw new Fault('config.usage', `give --trace FILE, --check, or --scene with one of ${SUITE.join(', ')}`)
    const scene = suiteScene(name, seed, readTrace)
    if (scene === null) throw new Fault('config.usage', `there is no scene "${name}"; there are ${SUITE.join(', ')}`)
    return scene
  }
  try {
    return sceneFromTrace(readFileSync(file, 'utf8'), {
      name: basename(file, '.csv'),
      seed,
      serviceMs: durationMsFrom(args.text('service-time'), 'service-time'),
      variation: 1,
      limit: numberFrom(args.text('limit'), 'limit', 1),
      maxScale: 0,
      fromMinute: Math.floor(durationMsFrom(args.text('from'), 'from') / 60_000),
      minutes: Math.max(1, Math.ceil(durationMsFrom(args.text('duration'), 'duration') / 60_000)),
      scale: numberFrom(args.text('scale'), 'scale'),
    })
  } catch (e) {
    if (e instanceof Fault) throw e
    throw new Fault('config.usage', `cannot play --trace ${file}: ${messageOf(e)}`, e)
  }
}

function policiesFrom(text: string): Policy[] {
  return text.split(',').map((name) => {
    const policy = Object.hasOwn(POLICIES, name) ? POLICIES[name] : undefined
    if (policy === undefined)
      throw new Fault('config.usage', `there is no policy "${name}"; there are ${Object.keys(POLICIES).join(', ')}`)
    return policy
  })
}
