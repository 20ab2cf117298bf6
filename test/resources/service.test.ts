import { describe, expect, test } from 'vitest'
import { parseImages } from '../../src/resources/images.ts'
import { faultText } from '../../src/resources/faults.ts'
import { Secret } from '../../src/runtime/secret.ts'
import type { ProcessPlan } from '../../src/contract/plan.ts'
import { item, planOf, read } from './planning.ts'

const GIVEN = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {GREETING: hello, "not a name": x}
---
apiVersion: v1
kind: Secret
metadata: {name: credentials}
stringData: {PASSWORD: hunter2}
---
`
const service = (container: string, more = ''): string => `${GIVEN}apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: s}
spec:
  template:
    spec:
      containers:
      - ${container}
${more}`

function processOf(container: string, settings: Parameters<typeof planOf>[1] = {}): ProcessPlan {
  const { process } = item(planOf(service(container), settings).services, 'service/default/s')
  if (process === null) throw new Error('no process')
  return process
}
const shownEnv = (p: ProcessPlan): (readonly [string, string])[] =>
  p.env.map(([n, v]) => [n, v instanceof Secret ? `secret ${v.reveal()}` : v])

describe('what a pod runs', () => {
  const images = [
    { image: '*/shown', command: ['node', 'shown.js'], env: { A: '1', B: '2' }, workingDir: '/srv' },
    { image: '*', command: ['other'], env: {}, workingDir: '' },
  ]
  test('the container’s command and args', () => {
    expect(
      processOf('{image: registry.example.com/shown, command: [python, a.py], args: [-v], workingDir: /w}', { images }),
    ).toMatchObject({
      command: ['python', 'a.py', '-v'],
      workingDir: '/w',
      env: [],
    })
  })
  test('else what the first fitting entry of --images says, with its environment under the container’s', () => {
    const p = processOf('{image: "registry.example.com:5000/shown:v1@sha256:abc", args: [-v], env: [{name: B, value: "3"}]}', {
      images,
    })
    expect(p).toEqual({
      command: ['node', 'shown.js', '-v'],
      env: [
        ['A', '1'],
        ['B', '3'],
      ],
      workingDir: '/srv',
      readiness: { kind: 'tcp' },
      readinessPeriodMs: 100,
      initialDelayMs: 0,
    })
    expect(processOf('{image: elsewhere}', { images }).command).toEqual(['other'])
  })
  test('of several containers the one with a port', () => {
    const { plan, texts } = read(
      service('{name: side, image: a}\n      - {name: main, image: b, command: [main], ports: [{containerPort: 80}]}'),
    )
    expect(texts).toEqual([])
    expect(item(plan.services, 'service/default/s').process?.command).toEqual(['main'])
    expect(plan.notices.length).toBe(1)
    expect(read(service('{image: a}\n      - {image: b}')).faults.map((f) => f.message)).toEqual([
      '0 of 2 containers have ports; exactly one must, the one that takes requests',
    ])
  })
  test('a probe', () => {
    const probe =
      'readinessProbe: {httpGet: {path: /ready, httpHeaders: [{name: a, value: b}]}, periodSeconds: 3, initialDelaySeconds: 2}'
    expect(processOf(`{image: a, ${probe}}`)).toMatchObject({
      readiness: { kind: 'http', path: '/ready', headers: [['a', 'b']] },
      readinessPeriodMs: 3000,
      initialDelayMs: 2000,
    })
  })
})

describe('the environment', () => {
  test('envFrom first, env after it, $(NAME) expanded, secrets stay secrets', () => {
    const p = processOf(`image: a
        envFrom: [{configMapRef: {name: settings}}, {prefix: P_, secretRef: {name: credentials}}, {configMapRef: {name: gone, optional: true}}]
        env:
        - {name: WHO, value: "$(GREETING) $$(GREETING) $(NOBODY)"}
        - {name: DSN, value: "user:$(P_PASSWORD)@db"}
        - {name: ONE, valueFrom: {configMapKeyRef: {name: settings, key: GREETING}}}
        - {name: PW, valueFrom: {secretKeyRef: {name: credentials, key: PASSWORD}}}
        - {name: NO, valueFrom: {secretKeyRef: {name: gone, key: x, optional: true}}}
        - {name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        - {name: GREETING}`)
    expect(shownEnv(p)).toEqual([
      ['GREETING', ''],
      ['P_PASSWORD', 'secret hunter2'],
      ['WHO', 'hello $(GREETING) $(NOBODY)'],
      ['DSN', 'secret user:hunter2@db'],
      ['ONE', 'hello'],
      ['PW', 'secret hunter2'],
      ['NS', 'default'],
    ])
    expect(JSON.stringify(p)).not.toContain('hunter2')
  })
  test('is expanded in the command, but never a secret', () => {
    expect(processOf('{image: a, command: [run, $(GREETING)], envFrom: [{configMapRef: {name: settings}}]}').command).toEqual([
      'run',
      'hello',
    ])
    const { faults, texts } = read(
      service('{image: a, command: [run, --key=$(PASSWORD)], envFrom: [{secretRef: {name: credentials}}]}'),
    )
    expect(faults.map((f) => f.message)).toEqual([
      'the command reads a Secret in --key=$(PASSWORD), and command lines are public; read the environment instead',
    ])
    expect(texts.join()).not.toContain('hunter2')
  })
  const missing: readonly [string, string][] = [
    ['envFrom: [{configMapRef: {name: gone}}]', 'there is no ConfigMap default/gone, which the environment needs'],
    [
      'env: [{name: A, valueFrom: {secretKeyRef: {name: credentials, key: gone}}}]',
      'Secret default/credentials has no key gone, which env A needs',
    ],
  ]
  test.for(missing)('without %s nothing is started, and the status says why', ([env, message]) => {
    const { plan, texts } = read(service(`{image: a, ${env}}`))
    expect(texts).toEqual([])
    expect(item(plan.services, 'service/default/s').process).toBeNull()
    expect(item(plan.resources, 'service/default/s').unresolved).toEqual([
      { condition: 'ContainerHealthy', reason: 'ConfigMissing', message },
    ])
  })
  test('what only Kubernetes knows is refused', () => {
    expect(
      read(service('{image: a, env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]}')).faults.map((f) => [
        f.path,
        f.message,
      ]),
    ).toEqual([
      [
        'spec.template.spec.containers[0].env[0].valueFrom',
        'a process pod has only configMapKeyRef, secretKeyRef and fieldRef metadata.namespace',
      ],
    ])
  })
})

describe('the revision', () => {
  const revisionOf = (yaml: string): string => item(planOf(yaml).services, 'service/default/s').revision
  const first = service('{image: a, envFrom: [{secretRef: {name: credentials}}]}')
  test('is the same for the same template, and another for another, or for another environment', () => {
    expect(revisionOf(first)).toBe(revisionOf(first))
    expect(revisionOf(first)).not.toBe(revisionOf(first.replace('image: a', 'image: b')))
    expect(revisionOf(first)).not.toBe(revisionOf(first.replace('hunter2', 'hunter3')))
    expect(revisionOf(first)).toBe(revisionOf(`${first}  traffic: [{percent: 100, latestRevision: true}]`))
  })
  test('has the name of the template where it has one', () => {
    expect(revisionOf(first.replace('template:\n', 'template:\n    metadata: {name: s-blue}\n'))).toBe('s-blue')
  })
})

describe('traffic', () => {
  test('percents and tags, each tag with a host of its own', () => {
    const plan = planOf(service('{image: a}', '  traffic: [{percent: 90}, {percent: 10, revisionName: s-1, tag: old}]'))
    expect(item(plan.services, 'service/default/s').traffic).toEqual([
      { revision: '', percent: 90, tag: '' },
      { revision: 's-1', percent: 10, tag: 'old' },
    ])
    expect(plan.routes.filter((r) => r.to.kind === 'service' && r.to.tag === 'old').map((r) => r.host)).toEqual([
      'old-s.default.example.com',
      'old-s.default.svc',
      'old-s.default.svc.cluster.local',
    ])
  })
  const bad: readonly [string, string, string][] = [
    ['[{percent: 50}]', 'spec.traffic', 'the percents make 50, they must make 100'],
    ['[{percent: 100, tag: a}, {tag: a}]', 'spec.traffic[1].tag', 'the tag a stands there twice'],
    [
      '[{percent: 100, latestRevision: true, revisionName: s-1}]',
      'spec.traffic[0].latestRevision',
      'is true beside a revisionName; one of the two is allowed',
    ],
    ['[{percent: 101}, {percent: -1}]', 'spec.traffic[0].percent', 'is 101, must be a whole number from 0 to 100'],
  ]
  test.for(bad)('%s', ([traffic, path, message]) => {
    expect(read(service('{image: a}', `  traffic: ${traffic}`)).faults[0]).toMatchObject({ path, message })
  })
})

describe('the domain', () => {
  const hostOf = (more: string, settings: Parameters<typeof planOf>[1] = {}): string =>
    item(
      planOf(`${service('{image: a}').replace('{name: s}', '{name: s, labels: {app: x}}')}\n---\n${more}`, settings).resources,
      'service/default/s',
    ).address
  const config =
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-domain, namespace: knative-serving}\ndata: {plain.example: "", chosen.example: "selector: {app: x}"}'
  test('is --domain, else the most demanding of config-domain, else example.com', () => {
    expect(hostOf('')).toBe('http://s.default.example.com')
    expect(hostOf(config)).toBe('http://s.default.chosen.example')
    expect(hostOf(config.replace('app: x', 'app: y'))).toBe('http://s.default.plain.example')
    expect(hostOf(config, { domain: 'Typed.example' })).toBe('http://s.default.typed.example')
  })
})

describe('--images', () => {
  test('a list of image, command, env and workingDir', () => {
    expect(
      parseImages(
        '- {image: "a*", command: [node, a.js], env: {PORT: 1}}\n- {image: b, command: [b], env: [{name: X, value: y}], workingDir: /w}',
        'i.yaml',
      ),
    ).toEqual({
      images: [
        { image: 'a*', command: ['node', 'a.js'], env: { PORT: '1' }, workingDir: '' },
        { image: 'b', command: ['b'], env: { X: 'y' }, workingDir: '/w' },
      ],
      faults: [],
    })
    expect(parseImages('# nothing yet', 'i.yaml')).toEqual({ images: [], faults: [] })
  })
  test('its faults have their lines', () => {
    const { faults } = parseImages('- image: a\n  command: node a.js\n- comand: [b]\n  image: b', 'i.yaml')
    expect(faults.map(faultText)).toEqual([
      'i.yaml:2: [0].command: is "node a.js", must be a list',
      'i.yaml:3: [1].command: is missing, must be a list',
      'i.yaml:3: [1].comand: unknown field; allowed: image, command, env, workingDir',
    ])
    expect(parseImages('image: a', 'i.yaml').faults.map(faultText)).toEqual(['i.yaml:1: is {"image":"a"}, must be a list'])
  })
})
