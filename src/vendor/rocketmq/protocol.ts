// The generated messages and stubs of the official client (CommonJS: what they export is found in their default alone).
import definitionModule from 'rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb.js'
import stubModule from 'rocketmq-client-nodejs/proto/apache/rocketmq/v2/service_grpc_pb.js'
import serviceModule from 'rocketmq-client-nodejs/proto/apache/rocketmq/v2/service_pb.js'

export type { Message, MessageQueue, Settings } from 'rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb.js'
export type { MessagingServiceClient } from 'rocketmq-client-nodejs/proto/apache/rocketmq/v2/service_grpc_pb.js'
export type {
  AckMessageResponse,
  ChangeInvisibleDurationResponse,
  HeartbeatResponse,
  NotifyClientTerminationResponse,
  QueryRouteResponse,
  ReceiveMessageResponse,
  SendMessageResponse,
  TelemetryCommand,
} from 'rocketmq-client-nodejs/proto/apache/rocketmq/v2/service_pb.js'
export { createDuration, createResource, getRequestDateTime, sign } from 'rocketmq-client-nodejs/dist/util/index.js'

export const definition = definitionModule
export const service = serviceModule
export const stub = stubModule
