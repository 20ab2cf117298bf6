import type { Key } from './ids.ts'

/** What the small integers of one process run stand for; ids are never given twice. */
export interface Names {
  sub(id: number): Key
  target(id: number): Key
  stream(id: number): Key
  ingress(id: number): Key
  service(id: number): Key
}
