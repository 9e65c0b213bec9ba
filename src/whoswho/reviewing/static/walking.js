// Walking through the pictures, choosing several, and the line that counts them.

import { cardOf, draw, highlight } from "./cards.js";
import { show } from "./layout.js";
import { decisionOf, find, keyOf, page, waits } from "./state.js";

export function redraw(pictures) {
  for (const same of pictures.flatMap((picture) => page.byKey.get(keyOf(picture)))) {
    draw(same);
    same.besides.forEach(draw);
  }
  count();
}

// What the next decision is about, besides the current picture.
export function choose(positions) {
  if (!positions.length && !page.chosen.size) return;
  const before = page.chosen;
  page.chosen = new Set(positions.length > 1 ? positions : []);
  [...before, ...page.chosen].forEach(highlight);
  count();
}

export const chooseTo = (position) => {
  const ends = [page.current, position].map((end) => page.visible.indexOf(end)).sort((a, b) => a - b);
  choose(page.visible.slice(ends[0], ends[1] + 1));
};

// All in view that are of the same section, label and first reason.
export function chooseAlike() {
  const current = page.pictures[page.current];
  const same = ({ section, label, reason }) =>
    section === current.section && label === current.label && reason === current.reason;
  if (current) choose(page.visible.filter((position) => same(page.pictures[position])));
}

export function count() {
  const decided = page.pictures.filter((picture) => !picture.fixed && decisionOf(picture)).length;
  const waiting = page.pictures.filter(waits).length;
  const amount = page.visible.length === page.pictures.length
    ? `${page.pictures.length} pictures` : `${page.visible.length} of ${page.pictures.length} pictures`;
  find("counts").textContent =
    `${amount} · ${decided} decided by you · ${waiting || "nothing"} ${waiting === 1 ? "waits" : waiting ? "wait" : "waits"} for dvc repro` +
    (page.chosen.size ? ` · ${page.chosen.size} chosen` : "");
}

export function mark(position) {
  const before = page.current;
  page.current = position;
  [before, position].forEach(highlight);
  if (page.chosen.size && !page.chosen.has(position)) choose([]);
  if (position >= 0) sessionStorage.setItem("whoswho-current", keyOf(page.pictures[position]));
}

export function go(position) {
  if (position === undefined || position < 0) return;
  mark(position);
  show(position);
  const card = cardOf(position);
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

export function step(by) {
  const next = page.visible.indexOf(page.current) + by;
  go(page.visible[Math.min(Math.max(next, 0), page.visible.length - 1)]);
}
