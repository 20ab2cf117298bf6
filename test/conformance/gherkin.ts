/** One scenario after its examples were put in. */
export interface Scenario {
  readonly name: string
  readonly steps: readonly Step[]
}

export interface Step {
  /** Without Given, When, Then, And. */
  readonly text: string
  /** The doc string between `"""` lines, without its indentation; '' = none. */
  readonly doc: string
  readonly table: readonly (readonly string[])[]
}

interface Draft {
  name: string
  steps: { text: string; doc: string; table: string[][] }[]
  examples: string[][]
}

const cells = (line: string): string[] =>
  line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim())

/** As much of Gherkin as the published features use: outlines, doc strings, tables. */
export function scenarios(feature: string): Scenario[] {
  const drafts: Draft[] = []
  const lines = feature.split('\n')
  let inExamples = false
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string
    const text = line.trim()
    const draft = drafts.at(-1)
    const title = /^Scenario(?: Outline)?: (.*)$/.exec(text)
    if (title !== null) {
      drafts.push({ name: title[1] as string, steps: [], examples: [] })
      inExamples = false
    } else if (draft === undefined) continue
    else if (text === 'Examples:') inExamples = true
    else if (text === '"""') {
      const indent = line.indexOf('"')
      const doc: string[] = []
      while ((lines[++i] as string).trim() !== '"""') doc.push((lines[i] as string).slice(indent))
      const step = draft.steps.at(-1)
      if (step !== undefined) step.doc = doc.join('\n')
    } else if (text.startsWith('|')) (inExamples ? draft.examples : (draft.steps.at(-1)?.table ?? [])).push(cells(text))
    else {
      const step = /^(?:Given|When|Then|And) (.*?):?$/.exec(text)
      if (step !== null) draft.steps.push({ text: step[1] as string, doc: '', table: [] })
    }
  }
  return drafts.flatMap(expanded)
}

/** An outline once an example, `<column>` replaced everywhere. */
function expanded(draft: Draft): Scenario[] {
  const [columns, ...examples] = draft.examples
  if (columns === undefined) return [draft]
  return examples.map((example) => {
    const fill = (text: string): string => columns.reduce((t, column, i) => t.replaceAll(`<${column}>`, example[i] ?? ''), text)
    const steps = draft.steps.map((step) => ({
      text: fill(step.text),
      doc: fill(step.doc),
      table: step.table.map((row) => row.map(fill)),
    }))
    return { name: fill(draft.name), steps }
  })
}
