// The review page: cards in the order the server gives, and a person's decisions about them.

import { draw, fillFrame, searchedOf, text } from "./cards.js";
import { confirm, decide, explain, relabel, turn, undo } from "./deciding.js";
import { layOut, place, show } from "./layout.js";
import { inTurn, request, say } from "./server.js";
import { decisionOf, find, keyOf, labelOf, page, setDecisions } from "./state.js";
import { choose, chooseAlike, chooseTo, count, go, mark, step } from "./walking.js";

const filters = find("filters");

// --- Filters ------------------------------------------------------------------------------------

function fillFilters() {
  for (const { name, shown } of page.labels) filters.elements.label.append(new Option(shown, name));
  for (const { name } of page.reasons) filters.elements.reason.append(new Option(name, name));
}

function filter() {
  const { section, label, reason, words, open } = filters.elements;
  const sought = words.value.normalize("NFC").toLowerCase().split(/\s+/).filter(Boolean);
  choose([]);
  page.visible = [];
  page.pictures.forEach((picture, position) => {
    const shows =
      (!section.value || picture.section === section.value) &&
      (!label.value || [picture.label, picture.countsUnder, labelOf(picture)].includes(label.value)) &&
      (!reason.value || picture.measures.some(([name]) => name === reason.value)) &&
      (!open.checked || (!picture.fixed && !decisionOf(picture))) &&
      sought.every((part) => searchedOf(picture).includes(part));
    if (shows) page.visible.push(position);
  });
  place();
  find("nothing").hidden = page.visible.length > 0;
  count();
  if (page.visible.includes(page.current)) show(page.current);
  else mark(page.visible[0] ?? -1);
}

// --- Dialogs ------------------------------------------------------------------------------------

// Ask about the current picture; `fill` sets the field as it stands.
function ask(id, fill) {
  const picture = page.pictures[page.current];
  if (!picture || picture.fixed) return decide(() => undefined);
  const field = find(id).querySelector("select, input");
  fill(field, picture);
  find(id).showModal();
  field.focus();
}

const openLabels = () =>
  ask("label-dialog", (select, picture) => {
    const chosen = picture.suggested && !decisionOf(picture) ? picture.suggested : labelOf(picture);
    const options = page.labels.map(({ name, shown }) => new Option(shown, name, false, name === chosen));
    select.replaceChildren(...options);
  });

const openWhy = () => ask("why-dialog", (input, picture) => (input.value = decisionOf(picture)?.why ?? ""));

function onClose(id, take) {
  const dialog = find(id);
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "ok") take(dialog);
    dialog.returnValue = "";
    page.pictures[page.current]?.card?.focus({ preventScroll: true });
  });
}

onClose("label-dialog", (dialog) => {
  const { value } = dialog.querySelector("select");
  if (value) relabel(value);
});
onClose("why-dialog", (dialog) => explain(dialog.querySelector("input").value.trim().replace(/\s+/g, " ")));
onClose("help-dialog", () => {});
onClose("zoom-dialog", () => {});
find("zoom-dialog").addEventListener("click", () => find("zoom-dialog").close(""));
find("zoom-dialog").addEventListener("keydown", (event) => {
  event.stopPropagation(); // once it is closed, the page would take the key as well
  const key = keyOfEvent(event);
  if (key === "z") find("zoom-dialog").close("");
  if (key === "f") KEYS.f();
  if (key !== "j" && key !== "k") return;
  KEYS[key]();
  zoom(page.pictures[page.current]);
});
find("label-dialog").querySelector("select").addEventListener("keydown", (event) => {
  if (event.key === "Enter") find("label-dialog").close("ok");
});
find("label-dialog").querySelector("select").addEventListener("dblclick", () => find("label-dialog").close("ok"));
find("why-dialog").querySelector(".cancel").addEventListener("click", () => find("why-dialog").close(""));

function zoom(picture) {
  if (!picture?.hasPixels) return say("There is no picture to show.");
  const dialog = find("zoom-dialog");
  fillFrame(dialog.querySelector(".frame"), picture, "picture");
  text(dialog, "bdi", `${picture.folder} / ${picture.name}`);
  if (!dialog.open) dialog.showModal();
}

// --- Keys and clicks ----------------------------------------------------------------------------

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  " ": turn,
  c: confirm,
  l: openLabels,
  s: () => page.pictures[page.current]?.suggested && relabel(page.pictures[page.current].suggested),
  z: () => zoom(page.pictures[page.current]),
  a: chooseAlike,
  w: openWhy,
  u: undo,
  f: () => document.body.classList.toggle("faces"),
  "/": () => filters.elements.words.focus(),
  "?": () => find("help-dialog").showModal(),
};

// Under a Hangul or Cyrillic layout the key J gives another letter, but lies where it lies.
const keyOfEvent = ({ key, code }) => (/^[\x20-\x7e]$/.test(key) ? key : code.replace(/^Key/, "").toLowerCase());

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const at = event.target;
  if (at.closest?.("input, select")) {
    if (event.key === "Escape" && page.visible.length) go(page.current);
    return;
  }
  if (event.key === " " && at.closest?.("button")) return; // the button itself takes it
  if (event.key === "Escape") return choose([]);
  const key = keyOfEvent(event);
  const action = KEYS[key];
  if (!action || (event.repeat && key !== "j" && key !== "k")) return;
  event.preventDefault();
  action();
});

find("sections").addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  if (!card) return;
  const position = Number(card.dataset.position);
  const button = event.target.closest("button");
  if (!button && event.shiftKey && page.current >= 0) return chooseTo(position);
  mark(position);
  if (!button) {
    card.focus({ preventScroll: true });
    const frame = event.target.closest(".frame");
    return frame && zoom(frame.picture);
  }
  const { suspect, suggested, label } = page.pictures[page.current];
  if (button.matches(".turn")) turn();
  else if (button.matches(".relabel")) openLabels();
  else if (button.matches(".explain")) openWhy();
  else if (button.matches(".take")) relabel(suggested);
  else if (button.matches(".confirm")) suspect ? confirm() : relabel(label);
});
find("sections").addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault()); // marks no text

filters.addEventListener("input", filter);
filters.addEventListener("submit", (event) => {
  event.preventDefault();
  if (page.visible.length) go(page.current);
});
find("help-button").addEventListener("click", () => find("help-dialog").showModal());
find("reload").addEventListener("click", () => location.reload());

// --- Reading ------------------------------------------------------------------------------------

// Another tab, an editor or `dvc repro` may have been at work while this page lay behind.
async function refresh() {
  const { version, decisions } = await request("decisions");
  setDecisions(decisions);
  page.pictures.forEach(draw);
  count();
  find("stale").hidden = version === page.version;
}
window.addEventListener("focus", () => page.version && inTurn(refresh));

async function start() {
  const { version, decisions } = await request("decisions"); // first: what comes later is newer
  const { pictures, labels, reasons, cleaned, noSuspects } = await request("gallery");
  Object.assign(page, { pictures, labels, reasons, version, cleaned, byKey: Map.groupBy(pictures, keyOf) });
  for (const picture of pictures) picture.besides = [];
  for (const picture of pictures) pictures[picture.duplicateOf]?.besides.push(picture);
  setDecisions(decisions);
  layOut(noSuspects);
  fillFilters();
  filter();
  const last = page.pictures.findIndex((picture) => keyOf(picture) === sessionStorage.getItem("whoswho-current"));
  if (last >= 0) go(last);
  else page.pictures[page.current]?.card?.focus({ preventScroll: true });
  const letters = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "letters.css" });
  document.head.append(letters);
}

start().catch((error) => {
  find("counts").textContent = error.message;
  find("counts").classList.add("bad");
});
