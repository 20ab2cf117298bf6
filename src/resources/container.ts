import { z } from 'zod'
import { anything, whole } from './fields.ts'

const keyRef = z.strictObject({ name: z.string().min(1), key: z.string().min(1), optional: z.boolean().optional() })
const sourceRef = z.strictObject({ name: z.string().min(1), optional: z.boolean().optional() })
const MUST_BE_ENV = 'must be the name of an environment variable: letters, digits, _, - and ., not beginning with a digit'
const envName = z.string().regex(/^[-._a-zA-Z][-._a-zA-Z0-9]*$/, MUST_BE_ENV)

const ENV = z.strictObject({
  name: envName,
  value: z.string('must be a string: put it in quotes').nullish(),
  valueFrom: z
    .strictObject({
      configMapKeyRef: keyRef.optional(),
      secretKeyRef: keyRef.optional(),
      fieldRef: z.strictObject({ fieldPath: z.string(), apiVersion: z.string().optional() }).optional(),
      resourceFieldRef: anything.optional(),
    })
    .nullish(),
})
const ENV_FROM = z.strictObject({
  prefix: z.string().optional(),
  configMapRef: sourceRef.optional(),
  secretRef: sourceRef.optional(),
})

const port = z.union([z.number(), z.string()])
const PROBE = z.strictObject({
  httpGet: z
    .strictObject({
      path: z.string().optional(),
      port: port.optional(),
      host: z.string().optional(),
      scheme: z.string().optional(),
      httpHeaders: z.array(z.strictObject({ name: z.string().min(1), value: z.string() })).optional(),
    })
    .optional(),
  tcpSocket: z.strictObject({ port: port.optional(), host: z.string().optional() }).optional(),
  exec: anything.optional(),
  grpc: anything.optional(),
  initialDelaySeconds: whole(0, 86_400).optional(),
  periodSeconds: whole(0, 86_400).optional(),
  timeoutSeconds: anything.optional(),
  successThreshold: anything.optional(),
  failureThreshold: anything.optional(),
  terminationGracePeriodSeconds: anything.optional(),
})

const arguments_ = z.array(z.string('must be a string: put it in quotes')).nullish()

/** What Kubernetes allows in a container; what a process has no use for is accepted and not looked at. */
export const CONTAINER = z.strictObject({
  name: z.string().optional(),
  image: z.string().min(1).optional(),
  command: arguments_,
  args: arguments_,
  workingDir: z.string().optional(),
  env: z.array(ENV).nullish(),
  envFrom: z.array(ENV_FROM).nullish(),
  ports: z
    .array(
      z.strictObject({
        containerPort: whole(0, 65_535).optional(),
        name: z.string().optional(),
        protocol: z.string().optional(),
        hostPort: anything.optional(),
        hostIP: anything.optional(),
      }),
    )
    .nullish(),
  readinessProbe: PROBE.nullish(),
  livenessProbe: anything.optional(),
  startupProbe: anything.optional(),
  lifecycle: anything.optional(),
  resources: anything.optional(),
  resizePolicy: anything.optional(),
  restartPolicy: anything.optional(),
  securityContext: anything.optional(),
  imagePullPolicy: anything.optional(),
  stdin: anything.optional(),
  stdinOnce: anything.optional(),
  tty: anything.optional(),
  terminationMessagePath: anything.optional(),
  terminationMessagePolicy: anything.optional(),
  volumeDevices: anything.optional(),
  volumeMounts: anything.optional(),
})

export type Container = z.infer<typeof CONTAINER>
export type EnvEntry = z.infer<typeof ENV>
