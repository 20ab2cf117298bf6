import type { Key } from '../contract/ids.ts'
import type { Names } from '../contract/names.ts'

/** Gives each key one small integer for the life of the process; a key that comes back gets the same one again. */
export interface IdTable {
  of(key: Key): number
  key(id: number): Key
}

export function createIdTable(): IdTable {
  const ids = new Map<Key, number>()
  const keys: Key[] = []
  return {
    of(key) {
      let id = ids.get(key)
      if (id === undefined) {
        id = keys.push(key) - 1
        ids.set(key, id)
      }
      return id
    },
    key: (id) => keys[id] ?? '',
  }
}

/** The five tables of a gateway. */
export interface IdTables extends Names {
  readonly subs: IdTable
  readonly targets: IdTable
  readonly streams: IdTable
  readonly ingresses: IdTable
  readonly services: IdTable
}

export function createIdTables(): IdTables {
  const [subs, targets, streams, ingresses, services] = [
    createIdTable(),
    createIdTable(),
    createIdTable(),
    createIdTable(),
    createIdTable(),
  ]
  return {
    subs,
    targets,
    streams,
    ingresses,
    services,
    sub: (id) => subs.key(id),
    target: (id) => targets.key(id),
    stream: (id) => streams.key(id),
    ingress: (id) => ingresses.key(id),
    service: (id) => services.key(id),
  }
}
