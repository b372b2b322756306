'use strict';
// The agent draws the page. This fetches it again, and puts its parts in the place of
// the old ones: what was open stays open, and the focus where it was.
const parts = ['now', 'stores'];

// Times are in UTC until here.
const localize = () => {
  for (const t of document.querySelectorAll('time')) t.textContent = new Date(t.dateTime).toLocaleString();
};

const replace = page => {
  const focused = document.activeElement && document.activeElement.id;
  for (const d of document.querySelectorAll('details[open]')) {
    const again = page.getElementById(d.id);
    if (again) again.open = true;
  }
  for (const id of parts) document.getElementById(id).replaceWith(document.adoptNode(page.getElementById(id)));
  localize();
  if (focused) document.getElementById(focused)?.focus({preventScroll: true});
};

async function refresh() {
  try {
    const answer = await fetch(location.href, {cache: 'no-store'});
    if (!answer.ok) throw new Error('HTTP ' + answer.status);
    replace(new DOMParser().parseFromString(await answer.text(), 'text/html'));
    document.documentElement.dataset.refreshed = Number(document.documentElement.dataset.refreshed || 0) + 1;
  } catch (e) {
    const now = document.getElementById('now');
    if (now.className === 'bad') return; // it is said already
    now.className = 'bad';
    now.setAttribute('role', 'alert');
    now.textContent = 'no answer (' + e.message + '); what is shown is old';
  }
}

localize();
// A page that nobody looks at asks nothing.
setInterval(() => { if (!document.hidden) refresh(); }, 5000);
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
