// A Service under k6: plain requests by its host name, more at once than its pods take, so that the gate queues and scales.
// k6 run -e URL=http://127.0.0.1:8080/ -e SERVICE=hello.default.example.com bench/k6/service.js
import http from 'k6/http'
import { check } from 'k6'

const url = __ENV.URL || 'http://127.0.0.1:8080/'
const host = __ENV.SERVICE || 'hello.default.example.com'

export const options = {
  scenarios: {
    service: {
      executor: 'ramping-vus',
      startVUs: 1,
      stages: [
        { duration: '5s', target: Number(__ENV.VUS || 50) },
        { duration: __ENV.DURATION || '10s', target: Number(__ENV.VUS || 50) },
        { duration: '2s', target: 0 },
      ],
    },
  },
  thresholds: { checks: ['rate==1'] },
}

export default function () {
  const response = http.get(url, { headers: { Host: host } })
  check(response, { 'served by a pod': (r) => r.status === 200 })
}
