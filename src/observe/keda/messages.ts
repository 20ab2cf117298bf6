import { BYTES, WireReader, WireWriter } from '../../event/wire.ts'

/** Which ScaledObject asks, and what its trigger says. KEDA externalscaler.proto, ScaledObjectRef */
export interface ScaledObjectRef {
  readonly name: string
  readonly namespace: string
  readonly metadata: Readonly<Record<string, string>>
}

export interface MetricsRequest {
  readonly ref: ScaledObjectRef
  readonly metricName: string
}

export interface MetricFigure {
  readonly metricName: string
  readonly value: number
}

const writer = new WireWriter()

/** undefined = the bytes are no such message. */
export function readRef(bytes: Uint8Array): ScaledObjectRef | undefined {
  const r = new WireReader(bytes)
  let name = ''
  let namespace = ''
  const metadata: Record<string, string> = Object.create(null) as Record<string, string>
  while (r.next()) {
    if (r.field === 1 && r.type === BYTES) name = r.text()
    else if (r.field === 2 && r.type === BYTES) namespace = r.text()
    else if (r.field === 3 && r.type === BYTES) {
      const entry = readEntry(r.bytes())
      if (entry === undefined) return undefined
      metadata[entry[0]] = entry[1]
    } else r.skip()
  }
  return r.broken ? undefined : { name, namespace, metadata }
}

function readEntry(bytes: Uint8Array): readonly [string, string] | undefined {
  const r = new WireReader(bytes)
  let key = ''
  let value = ''
  while (r.next()) {
    if (r.field === 1 && r.type === BYTES) key = r.text()
    else if (r.field === 2 && r.type === BYTES) value = r.text()
    else r.skip()
  }
  return r.broken ? undefined : [key, value]
}

export function readMetricsRequest(bytes: Uint8Array): MetricsRequest | undefined {
  const r = new WireReader(bytes)
  let ref: ScaledObjectRef | undefined = { name: '', namespace: '', metadata: {} }
  let metricName = ''
  while (r.next()) {
    if (r.field === 1 && r.type === BYTES) ref = readRef(r.bytes())
    else if (r.field === 2 && r.type === BYTES) metricName = r.text()
    else r.skip()
    if (ref === undefined) return undefined
  }
  return r.broken || ref === undefined ? undefined : { ref, metricName }
}

export function writeIsActive(active: boolean): Uint8Array {
  writer.begin()
  if (active) writer.varint(1, 1)
  return writer.done()
}

/** GetMetricSpecResponse: the whole-number field is for a KEDA that does not know the other, and never 0 there. */
export function writeMetricSpec(spec: { readonly metricName: string; readonly target: number }): Uint8Array {
  writer.begin()
  const at = writer.open(1)
  writer.text(1, spec.metricName)
  writer.varint(2, Math.max(1, Math.round(spec.target)))
  writer.double(3, spec.target)
  writer.close(at)
  return writer.done()
}

/** GetMetricsResponse. Rounded up in the whole-number field: a half of something is something. */
export function writeMetrics(figure: MetricFigure): Uint8Array {
  writer.begin()
  const at = writer.open(1)
  writer.text(1, figure.metricName)
  writer.varint(2, Math.ceil(figure.value))
  writer.double(3, figure.value)
  writer.close(at)
  return writer.done()
}
