import { Worker } from 'node:worker_threads'
import type { Answer, Question } from './worker.ts'

/** An expression is stopped after this, whatever it is at. ms */
export const EVALUATION_MS = 1_000
/** The library stops itself at `EVALUATION_MS`; what does not look at the time (a search, a huge text) is killed then. ms */
const KILL_AFTER_MS = 1_250
/** A thread that has had nothing to do for this long ends. ms */
const IDLE_MS = 60_000
/** Memory an expression may take, MiB. */
const HEAP_MIB = 96

export type Evaluation =
  | { readonly kind: 'value'; readonly json: string | undefined }
  /** It took too long or too much: another day it may not. */
  | { readonly kind: 'exhausted'; readonly why: string }
  | { readonly kind: 'error'; readonly why: string }

/** Evaluates JSONata off the thread of events, so that no expression can hold them up. One at a time, in order. */
export interface Evaluator {
  /** `input` is JSON text. `done` is called once, never within this call. */
  evaluate(expression: string, input: string, done: (e: Evaluation) => void): void
  /** Answers what waits as exhausted. */
  close(): void
}

interface Task {
  readonly question: Question
  readonly done: (e: Evaluation) => void
}

/** A thread that is started with the first expression and again after one had to be killed. */
export function createEvaluator(): Evaluator {
  return new WorkerEvaluator()
}

class WorkerEvaluator implements Evaluator {
  readonly #waiting: Task[] = []
  #running: Task | null = null
  #worker: Worker | null = null
  #timer: NodeJS.Timeout | null = null
  #closed = false

  evaluate(expression: string, input: string, done: (e: Evaluation) => void): void {
    this.#waiting.push({ question: { expression, input, timeMs: EVALUATION_MS }, done })
    if (this.#running === null) setImmediate(() => this.#next())
  }

  close(): void {
    this.#closed = true
    this.#stop()
    const tasks = [...(this.#running === null ? [] : [this.#running]), ...this.#waiting.splice(0)]
    this.#running = null
    for (const t of tasks) setImmediate(() => t.done({ kind: 'exhausted', why: 'the transformation is going away' }))
  }

  #next(): void {
    if (this.#running !== null || this.#closed) return
    const task = this.#waiting.shift()
    if (task === undefined) return this.#rest()
    this.#running = task
    this.#after(KILL_AFTER_MS, () => {
      this.#stop()
      this.#end({ kind: 'exhausted', why: `the expression did not end within ${EVALUATION_MS} ms` })
    })
    this.#start().postMessage(task.question)
  }

  #start(): Worker {
    if (this.#worker !== null) return this.#worker
    // Run from source in a checkout, from JavaScript when built.
    const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js'
    const worker = new Worker(new URL(file, import.meta.url), {
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB, maxYoungGenerationSizeMb: 16 },
    })
    // Waiting for an expression keeps nobody alive.
    worker.unref()
    worker.on('message', (answer: Answer) => {
      if (answer.kind === 'error' && answer.slow) {
        this.#end({ kind: 'exhausted', why: `the expression did not end within ${EVALUATION_MS} ms` })
      } else this.#end(answer.kind === 'value' ? answer : { kind: 'error', why: answer.why })
    })
    worker.on('error', (e) =>
      this.#lost(worker, `the expression took more than ${HEAP_MIB} MiB or broke its thread: ${e.message}`),
    )
    worker.on('exit', () => this.#lost(worker, 'the thread of the expression ended'))
    this.#worker = worker
    return worker
  }

  #lost(worker: Worker, why: string): void {
    if (this.#worker !== worker) return
    this.#worker = null
    this.#end({ kind: 'exhausted', why })
  }

  #end(e: Evaluation): void {
    const task = this.#running
    this.#running = null
    if (task === null) return
    task.done(e)
    this.#next()
  }

  #rest(): void {
    this.#after(IDLE_MS, () => this.#stop())
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    const worker = this.#worker
    this.#worker = null
    void worker?.terminate()
  }

  #after(ms: number, f: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(f, ms)
    this.#timer.unref()
  }
}
