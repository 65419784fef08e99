// Questions: the answer is shown as it is written, and what it cites plays.

import { complaint, element, prefix } from "./page.js";

const MOST_CHIPS = 12;
const CITED = /[[(【]\s*(?:(\d+):)?(\d{1,3}):(\d{2}(?:\.\d+)?)(?:\s*(?:-|–|—|to)\s*(?:(\d+):)?(\d{1,3}):(\d{2}(?:\.\d+)?))?\s*[\])】]/g;

const ask = document.getElementById("ask");
const form = ask.querySelector("form");
const talk = ask.querySelector(".talk");
const { video } = ask.dataset;
let dialogue = video ? "new" : undefined;

form.hidden = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = form.elements.question;
  const question = field.value.trim();
  if (!question) return;
  const button = form.querySelector("button");
  button.disabled = true;
  const said = element("p", { class: "said", dir: "auto" });
  const row = element("li", {}, element("p", { class: "asked", dir: "auto" }, question), said);
  talk.append(row);
  field.value = "";
  try {
    await put(question, said, row);
  } catch (error) {
    row.append(element("p", { class: "failure", role: "alert" }, error.message));
  }
  button.disabled = false;
});

const body = (question, more) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ question, video: video || undefined, ...more }),
});

async function put(question, said, row) {
  said.textContent = "…";
  const reply = await fetch(ask.dataset.ask, body(question, { stream: true, dialogue }));
  if (!reply.ok) throw new Error(await complaint(reply));
  let written = "";
  for await (const { name, data } of events(reply.body)) {
    if (name === "text") {
      written += data;
      said.textContent = written;
    } else if (name === "problem") {
      said.textContent = written;
      throw new Error(data.detail);
    } else if (name === "answer") {
      dialogue = data.dialogue ?? dialogue;
      await finish(data, said, row);
      row.append(prompt(question));
      return;
    }
  }
  said.textContent = written;
  throw new Error("The answer broke off: ask again.");
}

// The server-sent events of a reply.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split(/\r?\n/).map((line) => line.split(/: ?(.*)/s)));
      if (fields.data !== undefined) yield { name: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

async function finish(answer, said, row) {
  if (answer.answer === null) {
    said.textContent = answer.evidence.length ? "The evidence:" : "There is no evidence.";
  } else {
    said.replaceChildren(...(video ? linked(answer.answer) : [answer.answer]));
  }
  const all = answer.citations.length ? answer.citations : answer.answer === null ? answer.evidence : [];
  // Several tokens of one picture have one time.
  const shown = [...new Map(all.map((each) => [`${each.video} ${each.start_s} ${each.end_s}`, each])).values()];
  const chips = element("ul", { class: "chips", "aria-label": "What the answer rests on" });
  for (const each of shown.slice(0, MOST_CHIPS)) {
    const title = video ? "" : `${await titleOf(each.video)} `;
    chips.append(element("li", {}, chip(each.video, each.start_s, each.end_s, title)));
  }
  if (shown.length) row.append(chips);
  for (const note of answer.notes) row.append(element("p", { class: "hint" }, note));
}

function chip(of, start, end, title = "") {
  const until = Math.max(end, start + 2);
  const query = new URLSearchParams({ start_s: start.toFixed(3), end_s: until.toFixed(3) });
  const attributes = { class: "chip", href: `${ask.dataset.pages}${of}?${query}` };
  attributes["data-video"] = of;
  attributes["data-start"] = start;
  attributes["data-end"] = until;
  const times = end - start > 0.5 ? `${clock(start)}–${clock(end)}` : clock(start);
  return element("a", { ...attributes, "aria-label": `Play ${title}${times}` }, `${title}${times}`);
}

// The text with the times that it cites as links.
function linked(text) {
  const parts = [];
  let last = 0;
  const seconds = (h, m, s) => 3600 * Number(h ?? 0) + 60 * Number(m) + Number(s);
  for (const found of text.matchAll(CITED)) {
    const start = seconds(...found.slice(1, 4));
    const end = found[5] === undefined ? start : seconds(...found.slice(4, 7));
    parts.push(text.slice(last, found.index), chip(video, start, end));
    last = found.index + found[0].length;
  }
  return [...parts, text.slice(last)];
}

const titles = new Map();

async function titleOf(name) {
  if (!titles.has(name)) {
    const reply = await fetch(`${prefix}/api/v1/videos/${name}`);
    titles.set(name, reply.ok ? (await reply.json()).title : name);
  }
  return titles.get(name);
}

// What the model was sent, which is made again when somebody wants to see it.
function prompt(question) {
  const shown = element("pre", { tabindex: 0 }, "…");
  const details = element("details", {}, element("summary", {}, "What the model is sent"), shown);
  details.addEventListener("toggle", async () => {
    const reply = await fetch(ask.dataset.prompt, body(question));
    shown.textContent = reply.ok ? (await reply.json()).prompt : await complaint(reply);
  }, { once: true });
  return details;
}
