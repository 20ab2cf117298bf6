const HIDDEN = '[secret]'

/** Text that must not reach a log, a status or an error: everything but `reveal` shows `[secret]`. */
export class Secret {
  readonly #text: string
  constructor(text: string) {
    this.#text = text
  }
  reveal(): string {
    return this.#text
  }
  /** Two secrets are the same when their texts are; used by the plan's difference. */
  equals(other: unknown): boolean {
    return other instanceof Secret && other.#text === this.#text
  }
  toString(): string {
    return HIDDEN
  }
  toJSON(): string {
    return HIDDEN
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return HIDDEN
  }
}
