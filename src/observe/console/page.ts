/** The console: one page without a build, fed by the read API every second; on loopback that takes no token. */
export const CONSOLE_PAGE = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sluice</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.3rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}section{overflow-x:auto}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #e3e8ee}
th{font-weight:600;color:#53606d}td.n{text-align:right;font-variant-numeric:tabular-nums}td.none{color:#8a96a3}
.bad{color:#b3261e}.good{color:#1b7f4b}
@media (prefers-color-scheme:dark){body{background:#12171d;color:#dbe3ea}th,td{border-color:#2a333d}th{color:#93a1af}.bad{color:#f2b8b5}.good{color:#7ddba4}}
</style></head><body>
<h1>Sluice</h1><p id="state" role="status">…</p>
<section><h2>Services</h2><table id="services"></table></section>
<section><h2>Last decisions</h2><table id="decisions"></table></section>
<section><h2>Subscriptions</h2><table id="subscriptions"></table></section>
<section><h2>Streams</h2><table id="streams"></table></section>
<script>
const cell=(tag,value,name)=>{const e=document.createElement(tag);e.textContent=value;if(name)e.className=name;return e}
function fill(id,heads,rows){const t=document.getElementById(id);const all=[document.createElement('tr')];for(const x of heads)all[0].append(cell('th',x))
for(const r of rows){const tr=document.createElement('tr');for(const x of r)tr.append(cell('td',x,typeof x==='number'?'n':''));all.push(tr)}
if(rows.length===0){const td=cell('td','none','none');td.colSpan=heads.length;const tr=document.createElement('tr');tr.append(td);all.push(tr)}
t.replaceChildren(...all)}
async function ask(path){const r=await fetch(path);if(r.status===401)throw new Error('reading takes the token here: use the command line');return r.json()}
let before=null
async function look(){const p=document.getElementById('state');try{
const [s,r]=await Promise.all([ask('/api/v1/snapshot'),ask('/readyz')]);const now=performance.now()
p.className=r.ready&&r.degraded.length===0?'good':'bad';p.textContent=(r.ready?'ready':'not ready')+r.degraded.map(d=>' · '+d.resource+': '+d.message).join('')
const was=new Map(before?before.s.subscriptions.map(x=>[x.key,x.delivered]):[])
const rate=x=>before&&was.has(x.key)?Math.round((x.delivered-was.get(x.key))*1000/(now-before.now)):''
fill('services',['service','revision','ready','starting','wanted','in flight','queued','backlog','limit'],s.services.map(x=>[x.key,x.revision,x.observation.pods.filter(p=>p.phase==='ready').length,x.observation.pods.filter(p=>p.phase==='starting').length,x.desired,x.gate.inFlight,x.gate.queuedRequests+x.gate.queuedEvents,x.observation.backlog,x.gate.limit]))
fill('subscriptions',['subscription','a second','delivered','filtered','waiting','backlog','retries','dead-lettered','parked','held'],s.subscriptions.map(x=>[x.key,rate(x),x.delivered,x.filtered,x.waiting,x.backlog,x.retries,x.deadLettered,x.parkedNow,x.paused?'paused':x.held]))
fill('streams',['stream','events','bytes','refusing'],s.streams.map(x=>[x.key,x.events,x.bytes,x.refusing?'yes':'']))
const names=[...new Set(s.services.map(x=>x.key))].slice(0,20)
const told=await Promise.all(names.map(async k=>(await ask('/api/v1/services/'+k.split('/').slice(1).map(encodeURIComponent).join('/')+'/decisions')).items.map(d=>[d.atMs,k,d.before+' → '+d.desired,d.reason])))
fill('decisions',['at','service','pods','why'],told.flat().sort((a,b)=>b[0]-a[0]).slice(0,12).map(([at,...rest])=>[new Date(at).toLocaleTimeString(),...rest]))
before={s,now}
}catch(e){p.className='bad';p.textContent=e instanceof TypeError?'the gateway does not answer':e.message}
setTimeout(look,1000)}
look()
</script></body></html>
`
