import { statfsSync } from 'node:fs'

/** Free and total bytes of a disk. */
export interface Disk {
  readonly freeBytes: number
  readonly totalBytes: number
}

/** The disk a folder is on, as far as this process may use it. */
export function diskOf(dir: string): Disk {
  const { bavail, blocks, bsize } = statfsSync(dir)
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
}
