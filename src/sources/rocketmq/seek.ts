import type { Start } from '../../contract/feed.ts'
import { Fault } from '../../runtime/errors.ts'
import type { SeekTo } from '../../vendor/rocketmq/admin.ts'

/** What is said where nobody has told where the name servers are. */
export const NO_SEEK =
  'a RocketMQ group is set back by its administrator: write where the name servers are (namesrvAddr, port 9876), or run mqadmin resetOffsetByTime'

/** A place every queue of a topic has; a position is one of this process alone. */
export function seekTo(to: Start): SeekTo {
  if (to.at === 'earliest' || to.at === 'latest') return to.at
  if (to.at === 'time') return { timeMs: to.timeMs }
  if (to.at === 'committed') return seekTo(to.otherwise)
  throw new Fault('admin.refused', 'RocketMQ is read anew from a time, the earliest or the latest event, not from a position')
}
