// Sources that are watched: what each standing query holds now, and alerts.

import { complaint, element } from "./page.js";

const live = document.getElementById("live");
const form = live.querySelector("form");
const list = live.querySelector(".watches");
const alerts = document.getElementById("alerts");
const none = document.getElementById("noalerts");
const { watch, alerts: alertsAt } = live.dataset;
const TICK_MS = 1500;
const rows = new Map();
let last = 0; // The number of the newest alert that is shown.

form.hidden = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = form.querySelector(".failure");
  const given = Object.fromEntries([...new FormData(form)].filter(([, value]) => value.trim()));
  const queries = given.queries.split("\n").map((line) => line.trim()).filter(Boolean);
  const source = given.url ? { url: given.url } : { media: given.media };
  const reply = await fetch(watch, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ source, queries, webhook: given.webhook }),
  });
  said.textContent = reply.ok ? "" : await complaint(reply);
  if (!reply.ok) return;
  form.reset();
  await follow();
});

// One request for all watches: each as a stream of its own would use up the connections of a browser.
async function follow() {
  const reply = await fetch(watch);
  if (!reply.ok) return;
  const { watches } = await reply.json();
  for (const each of watches.reverse()) {
    if (!rows.has(each.id)) rows.set(each.id, added(each));
    rows.get(each.id)(each);
  }
  const since = await fetch(`${alertsAt}?after=${last}`);
  if (since.ok) (await since.json()).alerts.forEach(announce);
}

// A new row; gives back what keeps it up to date.
function added({ id, title }) {
  const state = element("span");
  const [change, remove] = ["Stop", "Forget"].map((name) =>
    element("button", { class: "plain", "aria-label": `${name} ${title}` }, name));
  const body = element("tbody");
  const head = ["Query", "Holds", "Best so far", "In the last window"].map((name) => element("th", { scope: "col" }, name));
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...head)), body);
  const doing = element("span", { class: "doing" }, change, remove);
  const row = element("li", {}, element("p", { class: "caption" }, element("b", {}, title), state, doing), table);
  list.prepend(row);
  const act = async (path, method) => {
    const reply = await fetch(`${watch}/${id}${path}`, { method });
    if (!reply.ok) state.textContent = await complaint(reply);
    else if (method === "DELETE") row.remove();
    await follow();
  };
  let next = "/stop";
  change.addEventListener("click", () => act(next, "POST"));
  remove.addEventListener("click", () => act("", "DELETE"));

  return ({ state: standing, failure, told, window, queries }) => {
    const runs = standing === "running";
    const now = window ? `, seen until ${clock(window.end_s)}` : "";
    state.textContent = failure ?? (told || `${runs ? "watching" : standing}${now}`);
    next = runs ? "/stop" : "/resume";
    change.textContent = runs ? "Stop" : "Go on";
    change.setAttribute("aria-label", `${change.textContent} ${title}`);
    change.hidden = standing === "ended";
    fill(body, window?.queries ?? queries.map((query) => ({ query, selection: [], match: null })));
  };
}

function fill(body, queries) {
  body.replaceChildren(...queries.map(({ query, selection, match }) => {
    const best = [...selection].sort((a, b) => b.relevance - a.relevance)[0];
    const said = best ? `${best.kind} at ${clock(best.start_s)}, relevance ${best.relevance.toFixed(3)}` : "nothing yet";
    const held = `${selection.length} token${selection.length === 1 ? "" : "s"}`;
    const cells = [held, said, match ? match.verdict : "unknown"].map((text) => element("td", {}, text));
    return element("tr", {}, element("th", { scope: "row", dir: "auto" }, query ?? "everything"), ...cells);
  }));
}

function announce({ number, at, title, query, start_s, end_s }) {
  last = number;
  none.hidden = true;
  const date = new Date(1000 * at);
  const when = element("time", { datetime: date.toISOString() }, date.toLocaleString());
  const what = element("b", { dir: "auto" }, query);
  alerts.prepend(element("li", {}, when, what, ` in ${title}, ${clock(start_s)}–${clock(end_s)}`));
}

follow();
setInterval(() => { if (!document.hidden) follow(); }, TICK_MS);
