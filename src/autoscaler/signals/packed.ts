import type { PodSeen } from '../../contract/decider.ts'

/**
 * Pods nobody names, as the deciders want to see them: work is thought packed into the first ones, as the gate packs it, so
 * that the last ones are those that fall idle. Which pod really goes is up to who runs them.
 */
export class PackedPods {
  readonly #readySinceMs: number[] = []
  readonly #startingSinceMs: number[] = []
  /** null = busy. */
  readonly #idleSinceMs: (number | null)[] = []

  seen(ready: number, starting: number, inFlight: number, limit: number, nowMs: number): readonly PodSeen[] {
    resize(this.#readySinceMs, ready, nowMs)
    resize(this.#startingSinceMs, starting, nowMs)
    this.#idleSinceMs.length = Math.min(this.#idleSinceMs.length, ready)
    const pods: PodSeen[] = []
    const even = Math.max(limit, Math.ceil(inFlight / Math.max(1, ready)))
    let left = inFlight
    for (let i = 0; i < ready; i++) {
      const mine = Math.min(left, even)
      left -= mine
      const before = this.#idleSinceMs[i]
      const idleSinceMs = mine > 0 ? null : (before ?? nowMs)
      this.#idleSinceMs[i] = idleSinceMs
      pods.push({ name: `pod-${i}`, phase: 'ready', inFlight: mine, sinceMs: this.#readySinceMs[i] ?? nowMs, idleSinceMs })
    }
    for (let i = 0; i < starting; i++) {
      const sinceMs = this.#startingSinceMs[i] ?? nowMs
      pods.push({ name: `starting-${i}`, phase: 'starting', inFlight: 0, sinceMs, idleSinceMs: null })
    }
    return pods
  }
}

function resize(since: number[], size: number, nowMs: number): void {
  if (since.length > size) since.length = size
  while (since.length < size) since.push(nowMs)
}
