// m:ss.s, from one hour on h:mm:ss.s, as the page's own text has it.
function clock(seconds) {
  const total = Math.round(Math.abs(seconds) * 10);
  const second = Math.floor(total / 10) % 60;
  const minutes = Math.floor(total / 600);
  const hours = Math.floor(minutes / 60);
  const two = (n) => String(n).padStart(2, "0");
  const head = hours ? `${hours}:${two(minutes % 60)}` : `${minutes}`;
  return `${seconds < 0 && total ? "-" : ""}${head}:${two(second)}.${total % 10}`;
}
