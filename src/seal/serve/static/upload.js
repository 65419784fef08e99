// Uploads by tus 1.0 (tus.io). The address of an upload is kept, so that it goes on after a break.

import { complaint, element } from "./page.js";

const BLOCK_BYTES = 8 << 20;
const WAITS_MS = [1000, 2000, 5000, 10000, 20000, 30000, 60000];
const TUS = { "Tus-Resumable": "1.0.0" };
const upload = document.getElementById("upload");

const input = document.getElementById("file");

upload.hidden = false;
input.addEventListener("change", () => {
  addAll(input.files);
  input.value = "";
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  addAll(event.dataTransfer.files);
});

async function addAll(files) {
  for (const each of [...files]) await add(each);
}

async function add(file) {
  const said = element("span", {}, "starting");
  const progress = element("progress", { max: file.size, value: 0, "aria-label": `Upload of ${file.name}` });
  const row = element("li", {}, element("p", { class: "caption" }, element("b", {}, file.name), said), progress);
  document.getElementById("uploads").append(row);
  try {
    await send(file, (sent, perSecond) => {
      progress.value = sent;
      const left = perSecond ? ` · ${Math.ceil((file.size - sent) / perSecond)} s left` : "";
      said.textContent = `${Math.floor((100 * sent) / file.size)} %${left}`;
    });
    row.remove();
  } catch (error) {
    progress.remove();
    row.append(element("p", { class: "failure", role: "alert" }, error.message));
    said.textContent = "choose the file again to go on";
  }
}

async function send(file, onProgress) {
  const key = `upload ${file.name} ${file.size} ${file.lastModified}`;
  let place = localStorage.getItem(key);
  let sent = place ? await offsetOf(place) : null;
  if (sent === null) {
    place = await create(file);
    localStorage.setItem(key, place);
    sent = 0;
  }
  const began = performance.now();
  const first = sent;
  for (let failed = 0; sent < file.size; ) {
    onProgress(sent, (1000 * (sent - first)) / (performance.now() - began));
    try {
      if (failed) sent = (await offsetOf(place)) ?? sent;
      sent = await patch(place, file.slice(sent, sent + BLOCK_BYTES), sent);
      failed = 0;
    } catch (error) {
      if (error instanceof Refused || failed === WAITS_MS.length) throw error;
      await new Promise((done) => setTimeout(done, WAITS_MS[failed++]));
    }
  }
  localStorage.removeItem(key);
}

class Refused extends Error {}

// Only what the client has done wrong is not worth trying again.
async function checked(reply) {
  if (reply.ok) return reply;
  const said = await complaint(reply);
  const again = reply.status >= 500 || reply.status === 429 || reply.status === 409;
  throw again ? new Error(said) : new Refused(said);
}

async function create(file) {
  const bytes = new TextEncoder().encode(file.name);
  const name = btoa(String.fromCharCode(...bytes));
  const headers = { ...TUS, "Upload-Length": file.size, "Upload-Metadata": `filename ${name}` };
  const reply = await checked(await fetch(upload.dataset.to, { method: "POST", headers }));
  return reply.headers.get("Location");
}

async function offsetOf(place) {
  const reply = await fetch(place, { method: "HEAD", headers: TUS });
  return reply.ok ? Number(reply.headers.get("Upload-Offset")) : null;
}

async function patch(place, block, offset) {
  const headers = { ...TUS, "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
  const reply = await checked(await fetch(place, { method: "PATCH", headers, body: block }));
  return Number(reply.headers.get("Upload-Offset"));
}
