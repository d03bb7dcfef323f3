// Keeps the page up to date: asks for it again, and takes over what has changed.
"use strict";
const INTERVAL = 2000; // milliseconds
const TYPING = 150;

const root = document.documentElement;
const form = document.querySelector("form");
let asking; // the request under way
let timer;

root.classList.add("live");

// Makes an element the same as another one. What is the same already is left alone, so the focus
// and the selection stay.
function sync(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
  } else if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
  } else if (!old.hasAttribute("data-keep") && !old.isEqualNode(fresh)) {
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    syncChildren(old, [...fresh.childNodes]);
  }
}

// Children with an id are recognised by it, others by their position. A child that stays is never
// moved, because it would lose the focus.
function syncChildren(parent, fresh) {
  const known = new Map([...parent.children].filter(({ id }) => id).map((old) => [old.id, old]));
  const stays = new Set(fresh.map(({ id }) => id).filter((id) => known.has(id)));
  let place = parent.firstChild;
  const pass = () => {
    const passed = place;
    place = place.nextSibling;
    return passed;
  };
  for (const node of fresh) {
    if (stays.has(node.id)) {
      const old = known.get(node.id);
      while (place && place !== old && !stays.has(place.id)) pass().remove();
      if (place === old) pass();
      else parent.insertBefore(old, place);
      sync(old, node);
    } else if (place && !place.id && !node.id) {
      sync(pass(), node);
    } else {
      parent.insertBefore(node, place);
    }
  }
  while (place) pass().remove();
}

async function update() {
  clearTimeout(timer);
  asking?.abort();
  const own = (asking = new AbortController());
  const begun = performance.now();
  try {
    const signal = AbortSignal.any([own.signal, AbortSignal.timeout(10000)]);
    const response = await fetch(location.href, { cache: "no-store", signal });
    if (!response.ok) throw new Error(String(response.status));
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    if (own.signal.aborted) return;
    root.classList.remove("stale");
    sync(document.body, fresh.body);
    const icon = fresh.getElementById("icon").href;
    if (document.getElementById("icon").href !== icon) document.getElementById("icon").href = icon;
    if (document.title !== fresh.title) document.title = fresh.title;
  } catch {
    if (own.signal.aborted) return;
    root.classList.add("stale");
    const summary = document.getElementById("summary");
    summary.textContent = "No answer from halfopend: what is below is old";
    summary.className = "unknown";
    document.title = "no answer · halfopend";
  }
  // A slow connection or a large page is asked for less often.
  timer = setTimeout(again, Math.max(INTERVAL, 4 * (performance.now() - begun)));
}

// A page that nobody sees asks for nothing.
function again() {
  if (document.hidden) document.addEventListener("visibilitychange", again, { once: true });
  else update();
}

// Shows what the form asks for without loading another page.
function choose() {
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  history.replaceState(null, "", query.size ? `/?${query}` : "/");
  update();
}

form.addEventListener("input", (event) => {
  clearTimeout(timer);
  timer = setTimeout(choose, event.target.type === "search" ? TYPING : 0);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  choose();
});
timer = setTimeout(again, INTERVAL);
