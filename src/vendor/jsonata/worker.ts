import { parentPort } from 'node:worker_threads'
import { loadJsonata } from './library.ts'

/** One evaluation: JSON text in, JSON text out. */
export interface Question {
  readonly expression: string
  readonly input: string
  readonly timeMs: number
}

export type Answer =
  /** `json` undefined: the expression gave nothing. */
  | { readonly kind: 'value'; readonly json: string | undefined }
  | { readonly kind: 'error'; readonly why: string; readonly slow: boolean }

/** A tail call is no depth; what recurses deeper than this is taken for endless. */
const DEEPEST = 500
/** Items a range or sequence may have. */
const LONGEST_SEQUENCE = 1_000_000
/** A transform has one or two; the table is no place to gather them. */
const MOST_KEPT = 16

const kept = new Map<string, ReturnType<ReturnType<typeof loadJsonata>>>()

async function answerOf({ expression, input, timeMs }: Question): Promise<Answer> {
  try {
    let compiled = kept.get(expression)
    if (compiled === undefined) {
      compiled = loadJsonata()(expression, { timeout: timeMs, stack: DEEPEST, sequence: LONGEST_SEQUENCE })
      if (kept.size >= MOST_KEPT) kept.clear()
      kept.set(expression, compiled)
    }
    const value = await compiled.evaluate(JSON.parse(input))
    return { kind: 'value', json: JSON.stringify(value) as string | undefined }
  } catch (e) {
    const { message, code } = e as { message?: unknown; code?: unknown }
    // D1012: the library's own time-out.
    return { kind: 'error', why: typeof message === 'string' ? message : String(e), slow: code === 'D1012' }
  }
}

parentPort?.on('message', (question: Question) => {
  void answerOf(question).then((answer) => parentPort?.postMessage(answer))
})
