import type * as Library from '@platformatic/kafka'
import { assert } from '../../runtime/errors.ts'

let library: typeof Library | null = null
let loading: Promise<typeof Library> | null = null

/**
 * The client library. Loading it takes 0.6 s and 50 MB (it compiles its schemas and registries), which only a gateway that
 * reads Kafka should pay: so it is loaded by the first connection, not by an import.
 */
export async function loadKafkaLibrary(): Promise<typeof Library> {
  loading ??= import('@platformatic/kafka')
  library = await loading
  return library
}

/** After the first connection: everything that talks to a broker, or reads what one sent, comes after it. */
export function kafkaLibrary(): typeof Library {
  assert(library !== null, 'the Kafka library is loaded before it is used')
  return library
}
