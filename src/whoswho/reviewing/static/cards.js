// A card: what it shows of a picture, drawn anew when a decision changes.

import { decisionOf, find, labelOf, page, shownLabel, stateOf, waits } from "./state.js";

export const copy = (id) => find(id).content.firstElementChild.cloneNode(true);
export const text = (parent, selector, value) => (parent.querySelector(selector).textContent = value);
const make = (name, value = "") => Object.assign(document.createElement(name), { textContent: value });

const sizeOf = ({ size: [width, height] }) => (width ? `, ${width}×${height}` : "");

export function fillFrame(frame, picture, address = "thumbnail") {
  const none = (why) => frame.replaceChildren(make("span", why));
  frame.picture = picture; // for a click on it
  frame.classList.toggle("several", picture.isGroup); // its faces' boxes are always shown
  if (!picture.hasPixels) return none("no picture to show");
  const image = new Image();
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = `${picture.folder}, ${picture.name}`;
  image.onerror = () => none("no picture to show: the file is gone or has changed since cleaning");
  image.src = `${address}/${picture.sha256}`;
  frame.replaceChildren(image);
  if (picture.faces.length) frame.append(boxes(picture));
}

function shape(name, attributes, value = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, number] of Object.entries(attributes)) element.setAttribute(key, number);
  element.textContent = value;
  return element;
}

// A box for every face, the main one first; the second, which decides about several_faces, is named
// where it is not blurred.
function boxes({ size: [width, height], faces, hasSecond }) {
  const all = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const letter = Math.max(width, height) / 22;
  faces.forEach(([left, top, right, bottom], rank) => {
    all.append(shape("rect", { x: left, y: top, width: right - left, height: bottom - top, class: rank ? "other" : "main" }));
    const y = top > 1.3 * letter ? top - 0.3 * letter : bottom + letter;
    if (rank === 1 && hasSecond) all.append(shape("text", { x: left, y, "font-size": letter }, "second face"));
  });
  return all;
}

function showBeside(card, picture) {
  const beside = card.querySelector(".shot").cloneNode(true);
  fillFrame(beside.querySelector(".frame"), picture);
  card.classList.add("pair");
  card.querySelector(".shots").append(beside);
  return beside;
}

// The card of a picture, built when it is first asked for.
export function cardOf(position) {
  const picture = page.pictures[position];
  if (!picture.card) build(picture, position);
  return picture.card;
}

function build(picture, position) {
  const card = copy("card");
  card.dataset.position = position;
  picture.card = card;
  fillFrame(card.querySelector(".frame"), picture);
  text(card, ".label", picture.folder);
  text(card, ".file bdi", `${picture.name}${sizeOf(picture)}`);
  text(card, ".split", picture.split);
  for (const [reason, measure] of picture.measures) {
    const line = make("li");
    const shown = make("bdi", measure);
    line.append(make("b", reason), measure ? ": " : "", shown);
    card.querySelector(".measures").append(line);
  }
  if (picture.fixed) {
    const line = card.querySelector(".fixed");
    line.textContent = `Cannot be kept: ${picture.fixed}.`;
    line.hidden = false;
    for (const button of card.querySelectorAll(".quiet")) button.hidden = true;
  }
  const duplicate = page.pictures[picture.duplicateOf];
  if (duplicate) showBeside(card, duplicate);
  if (picture.suggested) {
    const shown = shownLabel(picture.suggested);
    const box = copy("suspect");
    text(box, ".suggested", shown);
    if (picture.measures.some(([reason]) => reason === "cross_label")) text(box, ".lead", "Lies under another label too:");
    if (picture.suspect) {
      const [own, other] = picture.suspect.map((probability) => Number(probability).toFixed(2));
      text(box, ".chances", `${other}, own label ${own}`);
    }
    text(box, ".take bdi", shown);
    box.querySelector(".warning").hidden = !picture.suspect || picture.split !== "test";
    for (const position of picture.examples) {
      const example = page.pictures[position];
      showBeside(card, example).querySelector("figcaption").replaceChildren("kept of ", make("bdi", shownLabel(example.countsUnder)));
    }
    card.querySelector(".measures").after(box);
  }
  highlight(position);
  draw(picture);
}

// What the filter's words are sought in.
export const searchedOf = (picture) =>
  (picture.searched ??= [
    picture.file, picture.folder, picture.name, picture.split, picture.suggested && shownLabel(picture.suggested),
    ...picture.measures.flat(),
  ].join("\n").normalize("NFC").toLowerCase());

// Whether it is the current card, and chosen.
export function highlight(position) {
  const card = page.pictures[position]?.card;
  if (!card) return;
  const isCurrent = position === page.current;
  card.classList.toggle("current", isCurrent);
  card.classList.toggle("chosen", page.chosen.has(position));
  for (const reached of [card, ...card.querySelectorAll("button")]) reached.tabIndex = isCurrent ? 0 : -1;
}

// What a decision changes on a card.
export function draw(picture) {
  const { card } = picture;
  if (!card) return;
  const decision = decisionOf(picture);
  const state = stateOf(picture);
  card.classList.toggle("goes", state === "drop");
  const button = card.querySelector(".turn");
  button.textContent = state === "keep" ? "kept" : "dropped";
  button.setAttribute("aria-checked", String(state === "keep"));
  button.setAttribute("aria-label", `keep ${picture.name} of ${picture.folder}`);
  if (picture.fixed) button.setAttribute("aria-disabled", "true");
  const by = card.querySelector(".by");
  by.textContent = [decision ? "by you" : "", waits(picture) ? "waits" : ""].filter(Boolean).join(", ");
  by.title = waits(picture) ? "`dvc repro` has not taken it yet" : "";
  const moved = card.querySelector(".moved");
  moved.hidden = labelOf(picture) === picture.label;
  text(moved, "bdi", shownLabel(labelOf(picture)));
  const why = card.querySelector(".why");
  why.hidden = !decision?.why;
  text(why, "bdi", decision?.why ?? "");
  const note = card.querySelector(".note");
  const duplicate = page.pictures[picture.duplicateOf];
  // Of one photograph the best stays; both stay only where a person says so of both.
  const near = picture.reason === "near_duplicate";
  const both = near && duplicate && decisionOf(duplicate)?.decision === "keep";
  note.hidden = both || state === "drop" || picture.decided === "keep" || !(near || picture.reason === "duplicate");
  note.textContent = near
    ? "The picture beside it goes instead, unless you confirm that one too."
    : "The picture beside it goes instead.";
  if (duplicate) {
    const [own, beside] = card.querySelectorAll("figcaption");
    const whose = duplicate.label === picture.label ? "" : `${duplicate.folder} / `;
    own.replaceChildren("this one: ", verdict(picture));
    beside.replaceChildren(make("bdi", `${whose}${duplicate.name}${sizeOf(duplicate)}`), ": ", verdict(duplicate));
  } else if (picture.examples.length) {
    card.querySelector("figcaption").replaceChildren("this one: ", verdict(picture));
  }
}

function verdict(picture) {
  const state = stateOf(picture);
  const mark = make("b", state === "keep" ? "kept" : "dropped");
  mark.className = state;
  return mark;
}
