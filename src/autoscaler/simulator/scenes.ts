import { seededRandom } from '../../runtime/random.ts'
import { lognormal, poisson, type Scene, type SceneGroup, type StoredWork } from './scene.ts'

interface Shape {
  readonly name: string
  readonly group: SceneGroup
  readonly about: string
  readonly minutes: number
  /** Requests a second in second `s`. */
  readonly rate: (s: number) => number
  readonly serviceMs: number
  readonly variation: number
  readonly limit: number
  readonly stored?: readonly StoredWork[]
  readonly maxScale?: number
}

const between = (s: number, from: number, to: number): boolean => s >= from && s < to
const MINUTE = 60

/** Every synthetic load by name. None is tuned to a policy: round numbers, one idea each. */
const SHAPES: readonly Shape[] = [
  {
    name: 'ramp',
    group: 'flowing',
    about: '5 to 100 requests a second in 20 minutes, and back',
    minutes: 40,
    rate: (s) => 5 + 95 * (1 - Math.abs(s / (20 * MINUTE) - 1)),
    serviceMs: 400,
    variation: 1,
    limit: 10,
  },
  {
    name: 'diurnal',
    group: 'flowing',
    about: 'a day of an hour: 10 to 90 requests a second as a sine',
    minutes: 90,
    rate: (s) => 50 - 40 * Math.cos((2 * Math.PI * s) / 3600),
    serviceMs: 300,
    variation: 1,
    limit: 10,
  },
  {
    name: 'small',
    group: 'flowing',
    about: 'one request a second, half a second each, one slot a pod',
    minutes: 60,
    rate: () => 1,
    serviceMs: 500,
    variation: 1,
    limit: 1,
  },
  {
    name: 'on-off',
    group: 'on-off',
    about: '60 requests a second for 40 s, then 40 s of nothing',
    minutes: 40,
    rate: (s) => (s % 80 < 40 ? 60 : 0),
    serviceMs: 300,
    variation: 0.5,
    limit: 10,
  },
  {
    name: 'on-off-long',
    group: 'on-off',
    about: '30 requests a second for 3 minutes, then 50 s of nothing',
    minutes: 46,
    rate: (s) => (s % 230 < 180 ? 30 : 0),
    serviceMs: 500,
    variation: 1,
    limit: 5,
  },
  {
    name: 'step',
    group: 'jump',
    about: '10, then at once 100 requests a second for 10 minutes, twice',
    minutes: 60,
    rate: (s) => (between(s % 1800, 600, 1200) ? 100 : 10),
    serviceMs: 300,
    variation: 0.5,
    limit: 10,
  },
  {
    name: 'spike',
    group: 'jump',
    about: '10 requests a second, every 10 minutes 150 for 30 s',
    minutes: 60,
    rate: (s) => (between(s % 600, 300, 330) ? 150 : 10),
    serviceMs: 300,
    variation: 0.5,
    limit: 10,
  },
  {
    name: 'crowd',
    group: 'jump',
    about: 'a cold crowd: nothing, then 200 requests a second for 5 minutes',
    minutes: 30,
    rate: (s) => (between(s, 600, 900) ? 200 : 0),
    serviceMs: 250,
    variation: 0.5,
    limit: 10,
  },
  {
    name: 'sparse',
    group: 'jump',
    about: 'one request in five minutes, a second each',
    minutes: 360,
    rate: () => 1 / 300,
    serviceMs: 1000,
    variation: 0.5,
    limit: 10,
  },
  {
    name: 'topic',
    group: 'stored',
    about: 'a topic with a million events, nothing known before',
    minutes: 12,
    rate: () => 0,
    serviceMs: 20,
    variation: 0,
    limit: 10,
    stored: [{ atMs: 60_000, events: 1_000_000 }],
  },
  {
    name: 'nightly',
    group: 'stored',
    about: 'a batch of 200,000 events beside a small flow',
    minutes: 20,
    rate: () => 2,
    serviceMs: 50,
    variation: 0,
    limit: 10,
    stored: [{ atMs: 300_000, events: 200_000 }],
  },
  {
    name: 'sawtooth',
    group: 'beyond',
    about: '0 to 80 requests a second in 4 minutes, then back to 0 at once',
    minutes: 60,
    rate: (s) => (80 * (s % 240)) / 240,
    serviceMs: 300,
    variation: 0.5,
    limit: 10,
  },
  {
    name: 'heavy',
    group: 'beyond',
    about: 'slow and heavy-tailed: 2 requests a second, 8 s in the mean, four times that in deviation',
    minutes: 60,
    rate: () => 2,
    serviceMs: 8000,
    variation: 4,
    limit: 4,
  },
]

export const SYNTHETIC: readonly string[] = SHAPES.map((s) => s.name)

/** A synthetic scene; the same seed gives the same arrivals and service times to the last bit. */
export function syntheticScene(name: string, seed: number): Scene | null {
  const shape = SHAPES.find((s) => s.name === name)
  if (shape === undefined) return null
  const random = seededRandom(seed ^ hash(name))
  const rates = Float64Array.from({ length: shape.minutes * MINUTE }, (_, s) => Math.max(0, shape.rate(s)))
  const arrivalsMs = poisson(rates, random)
  return {
    name,
    group: shape.group,
    about: shape.about,
    arrivalsMs,
    serviceMs: lognormal(arrivalsMs.length, shape.serviceMs, shape.variation, random),
    stored: shape.stored ?? [],
    storedServiceMs: shape.serviceMs,
    endMs: shape.minutes * 60_000,
    limit: shape.limit,
    maxScale: shape.maxScale ?? 0,
  }
}

function hash(text: string): number {
  let h = 0
  for (const c of text) h = (Math.imul(h, 31) + c.charCodeAt(0)) | 0
  return h
}
