// Sources that are watched: what each standing query holds now, and alerts.

import { complaint, element } from "./page.js";

const live = document.getElementById("live");
const form = live.querySelector("form");
const list = live.querySelector(".watches");
const alerts = document.getElementById("alerts");
const none = document.getElementById("noalerts");
const { watch, alerts: alertsAt } = live.dataset;

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
  show(await reply.json());
});

function show(each) {
  const state = element("span", {}, each.failure ?? each.state);
  const stop = element("button", { class: "plain", "aria-label": `Stop watching ${each.title}` }, "Stop");
  const body = element("tbody");
  const head = element("tr", {}, ...["Query", "Holds", "Best so far"].map((name) => element("th", { scope: "col" }, name)));
  const table = element("table", {}, element("thead", {}, head), body);
  const row = element("li", {}, element("p", { class: "caption" }, element("b", {}, each.title), state, stop), table);
  list.prepend(row);
  fill(body, each.last?.queries ?? each.queries.map((query) => ({ query, selection: [] })));

  const events = new EventSource(`${watch}/${each.id}/events`);
  events.addEventListener("window", (event) => {
    const window = JSON.parse(event.data);
    state.textContent = `watching, now at ${clock(window.end_s)}`;
    fill(body, window.queries);
  });
  events.addEventListener("watch", (event) => {
    const { state: standing, failure } = JSON.parse(event.data);
    state.textContent = failure ?? standing;
  });
  events.addEventListener("alert", (event) => alert(JSON.parse(event.data)));
  stop.addEventListener("click", async () => {
    events.close();
    const reply = await fetch(`${watch}/${each.id}`, { method: "DELETE" });
    if (reply.ok) row.remove();
    else state.textContent = await complaint(reply);
  });
}

function fill(body, queries) {
  body.replaceChildren(...queries.map(({ query, selection }) => {
    const best = [...selection].sort((a, b) => b.relevance - a.relevance)[0];
    const said = best ? `${best.kind} at ${clock(best.start_s)}, relevance ${best.relevance.toFixed(3)}` : "nothing yet";
    const held = `${selection.length} token${selection.length === 1 ? "" : "s"}`;
    return element("tr", {}, element("th", { scope: "row", dir: "auto" }, query ?? "everything"), element("td", {}, held), element("td", {}, said));
  }));
}

function alert(each) {
  none.hidden = true;
  const at = new Date(1000 * each.at);
  const when = element("time", { datetime: at.toISOString() }, at.toLocaleString());
  alerts.prepend(element("li", {}, when, element("b", { dir: "auto" }, each.query)));
}

async function start() {
  const watches = await fetch(watch);
  if (watches.ok) (await watches.json()).watches.forEach(show);
  const before = await fetch(alertsAt);
  if (before.ok) (await before.json()).alerts.reverse().forEach(alert);
}
start();
