"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const timeline = document.querySelector(".timeline");
const overlay = timeline.querySelector(".overlay");
const cursor = overlay.querySelector(".cursor");

// The relevance at a time: the curve's point nearest to it.
function relevanceAt(time) {
  let low = 0;
  let high = data.times_s.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (data.times_s[middle] <= time) low = middle;
    else high = middle;
  }
  const nearest = time - data.times_s[low] <= data.times_s[high] - time ? low : high;
  return data.relevance[nearest];
}

timeline.addEventListener("pointermove", (event) => {
  const frame = overlay.getBoundingClientRect();
  const share = (event.clientX - frame.left) / frame.width;
  cursor.hidden = share < 0 || share > 1;
  if (cursor.hidden) return;
  const time = data.start_s + share * data.duration_s;
  const relevance = data.times_s.length ? ` · ${relevanceAt(time).toFixed(3)}` : "";
  cursor.style.left = `${100 * share}%`;
  cursor.firstElementChild.textContent = clock(time) + relevance;
});
timeline.addEventListener("pointerleave", () => { cursor.hidden = true; });

// A card under the pointer, or with the focus, shows where its token lies in the timeline.
for (const card of document.querySelectorAll(".card")) {
  const mark = document.getElementById(card.id.replace("card", "mark"));
  const light = (on) => () => mark.classList.toggle("on", on);
  card.addEventListener("pointerenter", light(true));
  card.addEventListener("pointerleave", light(false));
  card.addEventListener("focusin", light(true));
  card.addEventListener("focusout", light(false));
}
