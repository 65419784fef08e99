// What every page does: it follows jobs and keeps its parts up to date.

export const prefix = document.body.dataset.prefix;
const parts = [...document.querySelectorAll("[data-fragment]")];

// A part of the page as the server has it now; the focus stays where it was.
async function refresh(part) {
  const reply = await fetch(part.dataset.fragment);
  if (!reply.ok) return;
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  part.innerHTML = await reply.text();
  if (focused) document.getElementById(focused)?.focus();
}

let unfinished = null;
let events = null;
const eventsAt = document.querySelector("[data-events]")?.dataset.events;

function listen() {
  // A browser keeps six connections to a server: hidden pages leave them to others.
  events?.close();
  events = document.hidden ? null : new EventSource(eventsAt);
  events?.addEventListener("jobs", (event) => {
    const ids = JSON.parse(event.data).map((job) => job.id);
    const fewer = unfinished !== null && unfinished.some((id) => !ids.includes(id));
    // What the page was sent with holds until the first change.
    const changed = unfinished !== null || ids.length > 0;
    unfinished = ids;
    for (const part of parts) {
      if (part.dataset.when === "always" ? changed : fewer) refresh(part);
    }
  });
}
if (eventsAt) {
  document.addEventListener("visibilitychange", listen);
  listen();
}

addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  const part = form.closest("[data-fragment]");
  if (!part || form.dataset.confirm || form.method !== "post") return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  await fetch(form.action, { method: "POST", body });
  await refresh(part);
});

addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelectorAll(".menu[open]").forEach((menu) => { menu.open = false; });
  if (event.key !== "/" || event.ctrlKey || event.metaKey || isTyping(event.target)) return;
  const field = document.getElementById("here") ?? document.getElementById("all");
  if (!field) return;
  event.preventDefault();
  field.select();
});
addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

export function isTyping(element) {
  return element.matches?.("input, textarea, select, [contenteditable]") ?? false;
}

// What is wrong with a reply, as the server says it.
export async function complaint(reply) {
  try {
    return (await reply.json()).detail;
  } catch {
    return `The server answers ${reply.status}.`;
  }
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
