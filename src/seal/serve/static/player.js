// The player of a video: spans that are played to their end, boxes over the picture, lanes, keys.
// Times are those of the video; the player counts from 0, which is `zero`.

import { complaint, isTyping } from "./page.js";

const DEFAULT_S = 5; // What a click plays where there is no token.
const CHUNK_S = 20; // Tokens are fetched for so many seconds at a time.
const AS_INSTANT_S = 0.6; // An instant is drawn for so long: one frame would be a flicker.
const MOST_PAGES = 4;

const screen = document.getElementById("screen");
const video = document.getElementById("player");
const boxes = document.getElementById("boxes");
const which = document.getElementById("which");
const still = document.getElementById("still");
const timeline = document.querySelector(".timeline");
const overlay = timeline.querySelector(".overlay");
const axis = JSON.parse(document.getElementById("data").textContent);
const zero = Number(screen.dataset.start);
const selected = new Set([...document.querySelectorAll(".card")].map((card) => card.dataset.token));
const now = document.createElement("div");
now.className = "now";
overlay.append(now);

let span = null;

const time = () => video.currentTime + zero;

function play(start, end) {
  span = { start, end };
  video.currentTime = Math.max(start - zero, 0);
  if (!still.hidden) showStill(start);
  // A browser may refuse to play before somebody has clicked.
  else video.play().catch(() => {});
}

// Plays what a link says, and has the address of the page say the same.
function follow(link) {
  const [start, end] = [Number(link.dataset.start), Number(link.dataset.end)];
  history.replaceState(null, "", link.href);
  document.querySelectorAll(".playing").forEach((row) => row.classList.remove("playing"));
  link.closest(".card, .moments li, .chapters li")?.classList.add("playing");
  play(start, end);
  screen.scrollIntoView({ block: "nearest" });
}

function follows(start, end) {
  const address = new URL(location.href);
  address.searchParams.set("start_s", start.toFixed(3));
  address.searchParams.set("end_s", end.toFixed(3));
  history.replaceState(null, "", address);
  play(start, end);
}

function atEnd() {
  if (!span || time() < span.end) return;
  video.pause();
  video.currentTime = span.end - zero;
  span = null;
}

video.addEventListener("seeking", () => {
  if (span && (time() < span.start - 0.1 || time() > span.end + 0.1)) span = null;
});
video.addEventListener("timeupdate", () => { atEnd(); point(); });
for (const name of ["seeked", "loadeddata"]) video.addEventListener(name, () => { point(); draw(); });

function point() {
  now.style.left = `${100 * Math.min(Math.max((time() - axis.start_s) / axis.duration_s, 0), 1)}%`;
}

// Clicks: a link that plays, a picture, a mark, a place in a lane.
document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const mark = event.target.closest(".mark");
  const frame = event.target.closest(".frame");
  const card = mark ? document.getElementById(mark.hash.slice(1)) : frame?.closest(".card");
  const link = event.target.closest("a[data-start]") ?? card?.querySelector("a[data-start]");
  if (link && (link.dataset.video ?? screen.dataset.video) === screen.dataset.video) {
    event.preventDefault();
    follow(link);
  } else if (!link && event.target.closest(".lane")) {
    playAt(event);
  }
});

async function playAt(event) {
  const frame = overlay.getBoundingClientRect();
  const at = axis.start_s + (axis.duration_s * (event.clientX - frame.left)) / frame.width;
  const lane = event.target.closest(".lane");
  if (lane.classList.contains("curve")) {
    const moments = [...document.querySelectorAll(".moments a[data-start]")];
    const under = moments.find((link) => link.dataset.start <= at && at <= link.dataset.end);
    if (under) return follow(under);
    return follows(at, at + DEFAULT_S);
  }
  const kind = /kind-(\w+)/.exec(lane.className)[1];
  const there = (await tokensAt(at)).filter((token) => token.kind === kind);
  const off = (token) => Math.max(token.start_s - at, at - token.end_s, 0);
  const token = there.sort((a, b) => off(a) - off(b))[0];
  if (!token) return follows(at, at + DEFAULT_S);
  return follows(token.start_s, Math.max(token.end_s, token.start_s + 2));
}

// Boxes and tracks over the moving picture.
const chunks = new Map();

function tokensAt(at) {
  const number = Math.floor((at - zero) / CHUNK_S);
  if (!chunks.has(number)) {
    const asked = fetchTokens(number);
    chunks.set(number, asked);
    asked.catch(() => chunks.delete(number));
  }
  return chunks.get(number);
}

async function fetchTokens(number) {
  const start = zero + number * CHUNK_S;
  const found = [];
  let after = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const query = new URLSearchParams({ video: screen.dataset.video, start_s: start, end_s: start + CHUNK_S });
    if (after) query.set("after", after);
    const reply = await fetch(`${screen.dataset.tokens}?${query}`);
    if (!reply.ok) {
      // A later look asks again.
      chunks.delete(number);
      return found;
    }
    const { tokens, next } = await reply.json();
    found.push(...tokens);
    if (!next) return found;
    after = next;
  }
  return found;
}

const isThere = (token, at) =>
  token.start_s <= at && at < Math.max(token.end_s, token.start_s + AS_INSTANT_S);
const isWhole = ([x0, y0, x1, y1]) => x0 <= 0 && y0 <= 0 && x1 >= 1 && y1 >= 1;

function boxAt(token, at) {
  const track = token.track;
  if (!track.length) return token.box;
  const next = track.findIndex((row) => row[0] > at);
  if (next < 0) return track.at(-1).slice(1);
  if (next === 0) return track[0].slice(1);
  const [a, b] = [track[next - 1], track[next]];
  const share = (at - a[0]) / (b[0] - a[0]);
  return [1, 2, 3, 4].map((i) => a[i] + share * (b[i] - a[i]));
}

function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function drawn(token, at) {
  const { width, height } = boxes.viewBox.baseVal;
  const [x0, y0, x1, y1] = boxAt(token, at);
  const group = svg("g", { class: `kind-${token.kind}` });
  const rect = { x: x0 * width, y: y0 * height, width: (x1 - x0) * width, height: (y1 - y0) * height };
  const path = token.track
    .filter((row) => row[0] <= at)
    .map((row) => `${((row[1] + row[3]) / 2) * width},${((row[2] + row[4]) / 2) * height}`);
  for (const stroke of ["under", "over"]) {
    group.append(svg("rect", { class: stroke, ...rect }));
    if (path.length > 1) group.append(svg("polyline", { class: stroke, points: path.join(" ") }));
  }
  return group;
}

async function draw() {
  const at = time();
  const shown = which.value;
  const tokens = shown === "none" ? [] : await tokensAt(at);
  const wanted = tokens.filter(
    (token) => (shown === "all" || selected.has(token.id)) && isThere(token, at) && !isWhole(token.box),
  );
  boxes.replaceChildren(...wanted.map((token) => drawn(token, at)));
}

function eachFrame() {
  atEnd();
  draw();
  video.requestVideoFrameCallback(eachFrame);
}

document.getElementById("showing").hidden = false;
if (!selected.size) which.value = "all";
which.addEventListener("change", draw);
video.requestVideoFrameCallback?.(eachFrame);

// Boxes are drawn beside the player, so that what fills the screen is what holds both.
const full = document.getElementById("full");

function fill() {
  if (document.fullscreenElement) document.exitFullscreen();
  else screen.requestFullscreen().catch(() => {});
}

full.hidden = !document.fullscreenEnabled;
full.addEventListener("click", fill);
video.addEventListener("dblclick", (event) => {
  event.preventDefault();
  fill();
});

// Keys. The controls of the player itself keep theirs.
const STEPS_S = { ArrowLeft: -5, ArrowRight: 5, j: -10, l: 10 };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const own = event.target === video && !"fjkl".includes(event.key);
  if (own || !still.hidden) return;
  const pressed = event.key === " " && event.target.closest("button, a, summary");
  if (event.key === "k" || (event.key === " " && !pressed)) {
    if (video.paused) video.play();
    else video.pause();
  } else if (event.key === "f" && !full.hidden) {
    fill();
  } else if (event.key in STEPS_S) {
    video.currentTime = Math.max(video.currentTime + STEPS_S[event.key], 0);
  } else {
    return;
  }
  event.preventDefault();
});

const share = document.getElementById("share");
if (navigator.clipboard) {
  share.hidden = false;
  share.addEventListener("click", async () => {
    await navigator.clipboard.writeText(location.href);
    share.textContent = "Copied";
    setTimeout(() => { share.textContent = "Copy link"; }, 2000);
  });
}

// Where the browser cannot play the video, its pictures stand in, and a copy can be made.
const said = still.querySelector("p");
const copy = document.getElementById("copy");

video.addEventListener("error", unplayable);
video.addEventListener("loadedmetadata", () => { if (!video.videoWidth) unplayable(); });

async function unplayable() {
  if (!still.hidden) return;
  still.hidden = false;
  video.hidden = true;
  said.textContent = "This browser cannot play the video as it is. Its pictures are shown in its place.";
  showStill(span?.start ?? zero);
  const reply = await fetch(screen.dataset.playable);
  const state = reply.ok ? await reply.json() : null;
  copy.hidden = !state || state.state === "ready";
  if (state?.job) watch(state.job);
}

async function showStill(at) {
  const pictured = (await tokensAt(at)).filter((token) => !token.words);
  const off = (token) => Math.abs((token.start_s + token.end_s) / 2 - at);
  const nearest = pictured.sort((a, b) => off(a) - off(b))[0];
  const image = still.querySelector("img");
  image.src = nearest ? `${screen.dataset.pictures}${nearest.id}.jpg` : video.poster;
  image.alt = `The video at ${clock(at)}`;
}

copy.addEventListener("click", async () => {
  copy.disabled = true;
  const reply = await fetch(screen.dataset.playable, { method: "POST" });
  if (!reply.ok) {
    said.textContent = await complaint(reply);
    return;
  }
  const made = await reply.json();
  watch(made.job ?? made.id);
});

function watch(job) {
  copy.hidden = true;
  const events = new EventSource(`${screen.dataset.jobs}${job}/events`);
  events.addEventListener("job", (event) => {
    const { state, done_s, total_s, failure } = JSON.parse(event.data);
    const share = total_s ? ` ${Math.round((100 * done_s) / total_s)} %` : "";
    said.textContent = failure ?? `A copy that plays here: ${state}${share}`;
    if (["done", "failed", "cancelled"].includes(state)) events.close();
    if (state === "done") location.reload();
  });
}

// Without this script, the address of the video holds its span; that would end other spans, too.
if (screen.dataset.span) {
  const [start, end] = screen.dataset.span.split(" ").map(Number);
  video.src = video.src.split("#")[0];
  play(start, end);
} else if (video.error) {
  unplayable();
}
