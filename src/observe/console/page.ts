/** The console: one page without a build, fed by the admin API every second. */
export const CONSOLE_PAGE = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sluice</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.3rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #e3e8ee}
th{font-weight:600;color:#53606d}td.n{text-align:right;font-variant-numeric:tabular-nums}
.bad{color:#b3261e}.good{color:#1b7f4b}
@media (prefers-color-scheme:dark){body{background:#12171d;color:#dbe3ea}th,td{border-color:#2a333d}th{color:#93a1af}}
</style></head><body>
<h1>Sluice</h1><p id="state">…</p>
<h2>Services</h2><table id="services"></table>
<h2>Subscriptions</h2><table id="subscriptions"></table>
<h2>Streams</h2><table id="streams"></table>
<script>
const cell=(tag,text,number)=>{const e=document.createElement(tag);e.textContent=text;if(number)e.className='n';return e}
function fill(id,heads,rows){const t=document.getElementById(id);t.replaceChildren();const h=document.createElement('tr');for(const x of heads)h.append(cell('th',x));t.append(h)
for(const r of rows){const tr=document.createElement('tr');for(const x of r)tr.append(cell('td',x,typeof x==='number'));t.append(tr)}}
async function look(){try{
const [s,r]=await Promise.all([fetch('/api/v1/snapshot').then(x=>x.json()),fetch('/readyz').then(x=>x.json())])
const p=document.getElementById('state');p.className=r.degraded.length?'bad':'good';p.textContent=(r.ready?'ready':'not ready')+r.degraded.map(d=>' · '+d.resource+': '+d.message).join('')
fill('services',['service','revision','pods','in flight','queued','backlog','limit','wanted'],s.services.map(x=>[x.key,x.revision,x.observation.pods.filter(p=>p.phase==='ready').length,x.gate.inFlight,x.gate.queuedRequests+x.gate.queuedEvents,x.observation.backlog,x.gate.limit,x.desired]))
fill('subscriptions',['subscription','delivered','filtered','waiting','backlog','retries','dead-lettered','parked','held'],s.subscriptions.map(x=>[x.key,x.delivered,x.filtered,x.waiting,x.backlog,x.retries,x.deadLettered,x.parkedNow,x.paused?'paused':x.held]))
fill('streams',['stream','events','bytes','refusing'],s.streams.map(x=>[x.key,x.events,x.bytes,x.refusing?'yes':'']))
}catch(e){const p=document.getElementById('state');p.className='bad';p.textContent='the gateway does not answer'}
setTimeout(look,1000)}
look()
</script></body></html>
`
