import { expect, test } from 'vitest'
import { broker, freeAddress, post, startGateway, trigger } from '../gateway.ts'
import { startSink } from '../sink.ts'

test('a gateway comes back on its port at once, though connections of before linger; a second one on it is refused', async () => {
  const sink = await startSink()
  const manifests = [broker(), trigger('all', sink.url)]
  const listen = await freeAddress()
  const first = await startGateway({ manifests, listen })
  expect(await post(`${first.listen}/default/default`, 'a')).toBe(202)
  await expect(startGateway({ manifests, listen })).rejects.toThrow(/the port is taken/)
  // The server closes first, so that the kernel keeps the port's connections for a while.
  expect(await first.stop()).toBe(0)
  const second = await startGateway({ manifests, listen })
  expect(await post(`${second.listen}/default/default`, 'b')).toBe(202)
  await second.kill()
  await sink.close()
})
