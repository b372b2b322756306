'use strict';
// All text goes through textContent: what a server or a file said is never markup.
const SVG = 'http://www.w3.org/2000/svg';
const make = (parent, tag, attrs, text) => {
  const ns = ['svg', 'rect', 'path', 'title'].includes(tag);
  const e = ns ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [k, v] of Object.entries(attrs || {})) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  parent.append(e);
  return e;
};
const whole = n => n.toLocaleString('en-US');
const bytes = n => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return (i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)) + ' ' + units[i];
};
const time = ns => {
  if (ns === 0) return '–';
  const s = ns / 1e9;
  if (s < 1) return s < 1e-3 ? Math.round(ns / 1e3) + ' µs' : Math.round(s * 1e3) + ' ms';
  if (s < 120) return Math.round(s) + ' s';
  if (s < 7200) return Math.round(s / 60) + ' min';
  return s < 172800 ? (s / 3600).toFixed(1) + ' h' : (s / 86400).toFixed(1) + ' d';
};
const shown = (name, n) => /_ns$/.test(name) ? time(n) : /bytes/.test(name) ? bytes(n) : whole(n);

const cards = [
  ['rows pending', 'rows_pending'], ['bytes pending', 'bytes_pending'], ['oldest pending', 'oldest_pending_age_ns'],
  ['outage for', 'outage_ns'], ['time to empty', 'time_to_empty_ns'], ['time to full', 'time_to_full_ns'],
  ['rows acked', 'rows_acked'], ['rows accepted', 'rows_appended'], ['dead letters', 'rows_dead_lettered'],
  ['rows evicted', 'rows_evicted'], ['incidents', 'incidents'], ['disk free', 'disk_free_bytes'],
  ['written to the device, 24 h', 'device_bytes_written_day'], ['syncs, 24 h', 'device_syncs_day'],
];

function drawCards(to, store) {
  const grid = make(to, 'div', {class: 'cards'});
  for (const [label, name] of cards) {
    const n = store.figures[name], card = make(grid, 'div', {class: 'card'});
    make(card, 'b', {'data-card': name, 'data-value': n}, shown(name, n));
    make(card, 'span', {}, label);
  }
  const card = make(grid, 'div', {class: 'card'});
  make(card, 'b', {'data-durability': store.durability}, store.durability);
  make(card, 'span', {}, 'durability in force');
}

// A chart is as wide as an hour, whatever of it there is.
function chart(to, history, lines, format) {
  const top = Math.max(1, ...history.flatMap(p => lines.map(l => p[l.key])));
  const svg = make(to, 'svg', {class: 'chart', viewBox: '0 0 119 100', preserveAspectRatio: 'none', role: 'img'});
  make(svg, 'title', {}, 'the last hour');
  for (const l of lines) {
    const at = history.map((p, i) => (119 - history.length + 1 + i) + ' ' + (100 - 96 * p[l.key] / top));
    if (at.length === 0) continue;
    const left = 119 - history.length + 1;
    make(svg, 'path', {class: l.class, d: l.fill ? `M${left} 100 L${at.join(' L')} L119 100 Z` : 'M' + at.join(' L')});
  }
  make(to, 'p', {class: 'dim'}, 'last hour, highest ' + format(top));
}

function drawHistory(to, store) {
  const two = make(to, 'div', {class: 'two'});
  const backlog = make(two, 'div'), speed = make(two, 'div');
  make(backlog, 'h3', {}, 'Backlog, rows');
  chart(backlog, store.history, [{key: 'rows_pending', class: 'area', fill: true}], whole);
  const h = make(speed, 'h3', {}, 'Throughput');
  for (const [k, t] of [['pending', 'stored'], ['sent', 'sent']]) { make(h, 'i', {class: 'key ' + k}); h.append(t); }
  chart(speed, store.history, [
    {key: 'stored_bytes_per_second', class: 'stored'}, {key: 'sent_bytes_per_second', class: 'sent'}], n => bytes(n) + '/s');
}

// Neighbours are drawn together where there are more segments than fit.
const maxCells = 240, perRow = 60;
function cells(segments) {
  const each = Math.ceil(segments.length / maxCells) || 1, list = [];
  for (let i = 0; i < segments.length; i += each) {
    const sum = {frames: 0, settled: 0, rows: 0, used: 0, size: 0, first: segments[i].first_fsn, n: 0};
    for (const s of segments.slice(i, i + each)) {
      sum.frames += s.frames; sum.settled += s.settled; sum.rows += s.rows; sum.used += s.used_bytes; sum.size += s.size_bytes; sum.n++;
    }
    list.push(sum);
  }
  return list;
}

function drawSegments(to, segments) {
  const list = cells(segments), rows = Math.ceil(list.length / perRow);
  const wide = Math.min(perRow, Math.max(list.length, 20));
  const svg = make(to, 'svg', {class: 'segs', viewBox: `0 0 ${wide * 10} ${rows * 22}`, role: 'img'});
  svg.style.maxWidth = wide * 16 + 'px';
  list.forEach((s, i) => {
    const x = i % perRow * 10, y = Math.floor(i / perRow) * 22, used = s.size ? 20 * s.used / s.size : 0;
    const acked = s.frames ? used * s.settled / s.frames : 0;
    make(svg, 'rect', {class: 'free', x, y, width: 9, height: 20});
    if (used > acked) make(svg, 'rect', {class: 'pending', x, y: y + 20 - used, width: 9, height: used - acked});
    const r = make(svg, 'rect', {class: 'acked', x, y: y + 20 - acked, width: 9, height: acked});
    for (const e of [r.previousSibling, r]) {
      make(e, 'title', {}, `${s.n} file(s) from frame ${s.first}: ${whole(s.rows)} rows, ${s.settled} of ${s.frames} frames acked, ${bytes(s.used)} of ${bytes(s.size)}`);
    }
  });
}

function drawSlots(to, store) {
  const h = make(to, 'h3', {}, 'Slots');
  for (const [k, t] of [['pending', 'pending'], ['acked', 'acked'], ['free', 'empty']]) { make(h, 'i', {class: 'key ' + k}); h.append(t); }
  for (const s of store.slots) {
    const box = make(to, 'div', {class: 'slot', 'data-slot': s.name});
    make(box, 'b', {}, s.name);
    const link = s.figures.connected ? `, connected to ${s.host} over ${s.transport}` : s.state === 'live' ? ', not connected' : '';
    make(box, 'span', {class: 'dim'}, ` ${s.in_ram ? 'in RAM, ' : ''}${s.state}${link}, `);
    make(box, 'span', {'data-slot-pending': s.figures.rows_pending}, `${whole(s.figures.rows_pending)} rows pending`);
    if (s.oldest_pending) make(box, 'span', {class: 'dim'}, ', the oldest since ' + new Date(s.oldest_pending).toLocaleString());
    if (s.segments.length) drawSegments(box, s.segments);
    if (s.last_error) make(box, 'div', {class: 'bad'}, s.last_error);
  }
}

function table(to, title, head, rows, none) {
  make(to, 'h3', {}, title);
  if (rows.length === 0) { make(to, 'p', {class: 'dim'}, none); return; }
  const t = make(make(to, 'div', {class: 'scroll'}), 'table'), tr = make(t, 'tr');
  for (const c of head) make(tr, 'th', {}, c);
  for (const r of rows) {
    const line = make(t, 'tr');
    for (const c of r) make(line, 'td', typeof c === 'number' ? {class: 'n'} : {}, typeof c === 'number' ? whole(c) : c);
  }
}

function drawTrouble(to, store) {
  const f = store.figures;
  table(to, 'Dead letters', ['kind', 'rows'], f.rows_dead_lettered || f.dead_letters_final || f.dead_letters_refused ? [
    ['can never be stored', f.dead_letters_final],
    ['refused, fed back once the server takes them', f.dead_letters_refused],
    ['removed for dead_letter_max_bytes', f.dead_letters_removed],
  ] : [], 'none');
  table(to, 'Incidents', ['found', 'slot', 'what', 'file', 'rows', 'what to do'], store.incidents.toReversed().map(i =>
    [i.found, i.slot, i.what, i.file || '(missing)', i.rows_known ? i.rows : 'unknown', i.what_to_do]), 'none since the start');
  if (store.barred.length) table(to, 'Tables that the server takes no rows of', ['table', 'why'], store.barred.map(b => [b.table, b.words]));
  if (store.verdicts.length) {
    table(to, 'Types that a column refuses', ['table', 'column', 'type', 'goes to', 'why'],
      store.verdicts.map(v => [v.table, v.column, v.type, v.to || '–', v.words]));
  }
  if (store.orphans.length) {
    table(to, 'Slots of nobody', ['slot', 'state', 'rows pending', 'why'], store.orphans.map(o => [o.name, o.state, o.rows_pending, o.reason]));
  }
}

let openTables = new Set();
function drawAll(to, store, key) {
  const d = make(to, 'details'), t = (make(d, 'summary', {}, 'All figures'), make(make(d, 'div', {class: 'scroll'}), 'table'));
  d.open = openTables.has(key);
  d.addEventListener('toggle', () => d.open ? openTables.add(key) : openTables.delete(key));
  for (const [name, n] of Object.entries(store.figures)) {
    const tr = make(t, 'tr');
    make(tr, 'td', {}, name);
    make(tr, 'td', {class: 'n', 'data-figure': name}, String(n));
    make(tr, 'td', {class: 'n'}, shown(name, n));
  }
  for (const [name, l] of Object.entries(store.latencies)) {
    const tr = make(t, 'tr');
    make(tr, 'td', {}, name);
    make(tr, 'td', {class: 'n'}, whole(l.count));
    make(tr, 'td', {class: 'n'}, `mean ${time(l.count ? l.sum_ns / l.count : 0)}, 99 % within ${time(l.p99_ns)}`);
  }
}

function drawStore(to, store) {
  const key = store.sf_dir + ' ' + store.sender_id, box = make(to, 'section', {'data-store': store.sf_dir});
  const top = make(box, 'div', {class: 'top'});
  make(top, 'h2', {}, `${store.sf_dir} (${store.sender_id})`);
  make(top, 'span', {class: store.healthy ? 'pill' : 'pill bad', 'data-healthy': store.healthy}, store.healthy ? 'healthy' : 'not well');
  const why = store.why.length && make(box, 'ul', {class: 'why'});
  for (const w of store.why) make(why, 'li', {}, w);
  for (const draw of [drawCards, drawHistory, drawSlots, drawTrouble]) draw(box, store);
  drawAll(box, store, key);
}

async function refresh() {
  const now = document.getElementById('now');
  try {
    const answer = await fetch('api/status', {cache: 'no-store'});
    if (!answer.ok) throw new Error('HTTP ' + answer.status);
    const doc = await answer.json(), stores = document.createDocumentFragment();
    for (const s of doc.stores) drawStore(stores, s);
    document.getElementById('stores').replaceChildren(stores);
    now.textContent = new Date(doc.now).toLocaleString();
    now.className = '';
  } catch (e) {
    now.textContent = 'no answer (' + e.message + '); what is shown is old';
    now.className = 'bad';
  }
}

// A page that nobody looks at asks nothing.
setInterval(() => { if (!document.hidden) refresh(); }, 5000);
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
refresh();
