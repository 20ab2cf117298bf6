// Ingestion under k6: events at a fixed rate to a broker. k6 run -e URL=http://127.0.0.1:8080/default/default bench/k6/ingest.js
import http from 'k6/http'
import { check } from 'k6'
import exec from 'k6/execution'

const url = __ENV.URL || 'http://127.0.0.1:8080/default/default'

export const options = {
  scenarios: {
    ingest: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 1000),
      timeUnit: '1s',
      duration: __ENV.DURATION || '10s',
      preAllocatedVUs: 64,
    },
  },
  thresholds: { checks: ['rate==1'], http_req_failed: ['rate==0'] },
}

export default function () {
  const response = http.post(url, JSON.stringify({ n: exec.scenario.iterationInTest }), {
    headers: {
      'Ce-Specversion': '1.0',
      'Ce-Id': `k6-${exec.scenario.iterationInTest}`,
      'Ce-Source': '/bench/k6',
      'Ce-Type': 'bench.event',
      'Content-Type': 'application/json',
    },
  })
  check(response, { 'stored durably': (r) => r.status === 202 })
}
