// Keeps the page up to date: asks for it again, and takes over what has changed.
"use strict";
const INTERVAL = 2000; // milliseconds

async function update() {
  try {
    const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!response.ok) throw new Error(String(response.status));
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const id of ["live", "summary"]) {
      const [now, next] = [document.getElementById(id), fresh.getElementById(id)];
      if (now.innerHTML !== next.innerHTML) now.replaceChildren(...next.childNodes);
    }
    document.title = fresh.title;
  } catch {
    document.getElementById("summary").textContent = "halfopend does not answer: what is shown is old";
    document.title = "no answer · halfopend";
  }
  setTimeout(again, INTERVAL);
}

// A page that nobody sees asks for nothing.
function again() {
  if (document.hidden) document.addEventListener("visibilitychange", again, { once: true });
  else update();
}

setTimeout(again, INTERVAL);
