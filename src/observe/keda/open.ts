import type { Clock } from '../../runtime/clock.ts'
import { Fault, messageOf } from '../../runtime/errors.ts'
import type { GrpcServer } from '../../vendor/grpc/server.ts'
import type { DemandView } from './scaler.ts'

/** Listens for KEDA. gRPC is loaded here and only where KEDA is to be answered. */
export async function openKeda(
  at: { readonly host: string; readonly port: number },
  view: DemandView,
  clock: Clock,
): Promise<GrpcServer> {
  const [{ openGrpcServer }, { kedaService }] = await Promise.all([import('../../vendor/grpc/server.ts'), import('./scaler.ts')])
  return openGrpcServer(at.host, at.port, kedaService(view, clock)).catch((e: unknown) => {
    throw new Fault('ingress.listen', `--keda cannot listen on ${at.host}:${at.port}: ${messageOf(e)}`, e)
  })
}
