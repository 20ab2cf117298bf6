/** A transaction that was rolled back, as a fetch answer lists it. */
export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
}

/**
 * Which batches of one fetch answer belong to rolled-back transactions, decided as the Java consumer does
 * (`CompletedFetch.nextFetchedRecord`): a producer is rolled back from the first offset of an aborted transaction until
 * its abort marker, and one producer may have several such spans in one answer, or a span whose marker comes later.
 * Batches must be shown in order, once each.
 */
export class AbortedFilter {
  readonly #upcoming: readonly AbortedTransaction[]
  #next = 0
  readonly #rolledBack = new Set<number>()

  constructor(listed: readonly AbortedTransaction[]) {
    this.#upcoming = listed.toSorted((a, b) => a.firstOffset - b.firstOffset)
  }

  /** true = nothing of this data batch counts. */
  drops(producerId: number, lastOffset: number): boolean {
    this.#advance(lastOffset)
    return this.#rolledBack.has(producerId)
  }

  /** A control batch passes by. */
  marker(producerId: number, lastOffset: number, abort: boolean): void {
    this.#advance(lastOffset)
    if (abort) this.#rolledBack.delete(producerId)
  }

  #advance(lastOffset: number): void {
    for (;;) {
      const t = this.#upcoming[this.#next]
      if (t === undefined || t.firstOffset > lastOffset) return
      this.#rolledBack.add(t.producerId)
      this.#next++
    }
  }
}
