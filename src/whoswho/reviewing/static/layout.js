// Where the cards lie. Of a large set only those near the view are there: a group lies in parts, each
// filled when it comes near and emptied when it is far and many are filled.

import { cardOf, copy, text } from "./cards.js";
import { find, page } from "./state.js";

const PART = 60; // cards; whole rows in up to 6 columns
const AT_FIRST = 600; // cards there without any being near
const AT_MOST = 1800;

const SECTIONS = {
  dropped: ["Dropped", "What cleaning took out, by reason. Turn what should stay."],
  suspects: ["Suspects", "Kept, but they look as if they lie under a wrong label; the surest first. Nothing happens to them unless you decide."],
  kept: ["Kept", "What goes on to training."],
};

const groups = []; // {box, section, positions}, in the order shown
const partOf = new Map(); // position -> its part: {box, positions}
const filled = new Set(); // parts, the longest filled first
const near = new Set(); // parts

const watch = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const part = partOf.get(Number(target.dataset.first));
      if (part?.box !== target) continue; // of an earlier filter
      if (isIntersecting) near.add(part);
      else near.delete(part);
      if (isIntersecting) fill(part);
    }
    empty();
  },
  { rootMargin: "150% 0px" },
);

function addGroup(section, title, says, positions) {
  const box = copy("group");
  text(box, ".name", title);
  text(box, ".says", says);
  box.querySelector("h3").hidden = !title;
  if (!says) box.querySelector(".says").remove();
  section.querySelector(".groups").append(box);
  groups.push({ box, section, positions });
}

// The sections and groups, without a card.
export function layOut(noSuspects) {
  const all = new DocumentFragment();
  const groupsOf = Map.groupBy(page.pictures.keys(), (position) => {
    const { section, reason } = page.pictures[position];
    return section === "dropped" ? `dropped ${reason}` : section;
  });
  for (const [name, [title, says]] of Object.entries(SECTIONS)) {
    const section = copy("section");
    section.id = name;
    text(section, ".name", title);
    text(section, ".says", name === "suspects" && noSuspects ? noSuspects : says);
    all.append(section);
    const parts = name === "dropped" ? page.reasons : [{ name: "", says: "" }];
    for (const reason of parts) {
      const positions = groupsOf.get(`${name} ${reason.name}`.trim()) ?? [];
      if (positions.length) addGroup(section, reason.name, reason.says, positions);
    }
  }
  find("sections").replaceChildren(all);
}

// Show the pictures of page.visible and no other.
export function place() {
  watch.disconnect();
  for (const record of [partOf, filled, near]) record.clear();
  measureColumns();
  const visible = new Set(page.visible);
  const shownIn = new Map();
  for (const { box, section, positions } of groups) {
    const shown = positions.filter((position) => visible.has(position));
    shownIn.set(section, (shownIn.get(section) ?? 0) + shown.length);
    text(box, ".n", shown.length);
    box.hidden = !shown.length;
    box.querySelector(".parts").replaceChildren(...partsOf(shown));
  }
  const filtered = page.visible.length < page.pictures.length;
  for (const section of find("sections").children) {
    const amount = shownIn.get(section) ?? 0;
    text(section, ".n", amount);
    section.hidden = !amount && (filtered || section.id !== "suspects");
  }
  for (const position of page.visible.slice(0, AT_FIRST)) show(position);
}

function partsOf(positions) {
  const boxes = [];
  for (let start = 0; start < positions.length; start += PART) {
    const part = { box: copy("part"), positions: positions.slice(start, start + PART) };
    part.box.dataset.first = part.positions[0];
    part.box.style.setProperty("--cards", part.positions.length);
    for (const position of part.positions) partOf.set(position, part);
    watch.observe(part.box);
    boxes.push(part.box);
  }
  return boxes;
}

// See to it that a picture's card is there.
export function show(position) {
  const part = partOf.get(position);
  if (part) fill(part);
}

function fill(part) {
  if (filled.has(part)) return;
  part.box.replaceChildren(...part.positions.map(cardOf));
  part.box.style.height = "";
  part.box.classList.add("filled");
  filled.add(part);
}

function empty() {
  for (const part of filled) {
    if (filled.size * PART <= AT_MOST) return;
    if (near.has(part) || part === partOf.get(page.current)) continue;
    part.box.style.height = `${part.box.offsetHeight}px`; // nothing moves
    part.box.replaceChildren();
    for (const position of part.positions) page.pictures[position].card = undefined;
    filled.delete(part);
  }
}

// How high a part is that was never filled rests on it.
function measureColumns() {
  const style = getComputedStyle(find("sections"));
  const width = find("sections").clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  find("sections").style.setProperty("--columns", Math.max(1, Math.floor((width + rem) / (17.5 * rem))));
}
window.addEventListener("resize", measureColumns);
