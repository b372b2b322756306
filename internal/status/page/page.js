'use strict';
// The agent draws the page. This fetches it again, and puts its parts in the place of
// the old ones: what was open stays open, the focus where it was, and tables as far to
// the side as they were.
const parts = ['now', 'stores'];

// Times are in UTC until here.
const localize = page => {
  for (const t of page.querySelectorAll('time')) t.textContent = new Date(t.dateTime).toLocaleString(undefined, {timeZoneName: 'short'});
};

const replace = page => {
  const focused = document.activeElement && document.activeElement.id;
  const aside = [...document.querySelectorAll('.scroll')].filter(d => d.scrollLeft).map(d => [d.id, d.scrollLeft]);
  for (const d of document.querySelectorAll('details[open]')) {
    const again = page.getElementById(d.id);
    if (again) again.open = true;
  }
  localize(page);
  for (const id of parts) document.getElementById(id).replaceWith(document.adoptNode(page.getElementById(id)));
  for (const [id, left] of aside) {
    const again = document.getElementById(id);
    if (again) again.scrollLeft = left;
  }
  if (focused) document.getElementById(focused)?.focus({preventScroll: true});
};

// What is shown says why it is old.
const tell = (role, why) => {
  const now = document.getElementById('now');
  now.dataset.words ||= now.textContent;
  const text = why + '; what is shown is old: ' + now.dataset.words;
  if (now.textContent === text) return; // it is said already
  now.className = 'bad';
  now.setAttribute('role', role);
  now.textContent = text;
};

const fade = () => {
  const stores = document.getElementById('stores');
  if (stores.className === 'old') return;
  stores.className = 'old';
  for (const p of document.querySelectorAll('.pill')) p.textContent = 'was ' + p.textContent;
};

// Whoever has marked a text is about to copy it.
const marked = () => !getSelection().isCollapsed;

let asking = false;

async function refresh() {
  if (asking) return; // answers come in their order
  asking = true;
  try {
    const answer = await fetch(location.href, {cache: 'no-store', signal: AbortSignal.timeout?.(10000)});
    if (!answer.ok) throw new Error('HTTP ' + answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    if (marked()) return tell('status', 'it waits while text is marked');
    replace(page);
    document.documentElement.dataset.refreshed = Number(document.documentElement.dataset.refreshed || 0) + 1;
  } catch (e) {
    tell('alert', 'no answer (' + e.message + ')');
    if (!marked()) fade();
  } finally {
    asking = false;
  }
}

localize(document);
// A page that nobody looks at asks nothing.
setInterval(() => { if (!document.hidden) refresh(); }, 5000);
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
