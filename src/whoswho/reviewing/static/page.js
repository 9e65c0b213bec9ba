// The review page: cards in the order the server gives, and a person's decisions about them.

import { build, copy, count, draw, go, mark, step, text } from "./cards.js";
import { confirm, decide, explain, relabel, turn, undo } from "./deciding.js";
import { inTurn, request } from "./server.js";
import { decisionOf, find, keyOf, labelOf, page, setDecisions } from "./state.js";

const filters = find("filters");
const SECTIONS = {
  dropped: ["Dropped", "What cleaning took out, by reason. Turn what should stay."],
  suspects: ["Suspects", "Kept, but they look as if they lie under a wrong label; the surest first. Nothing happens to them unless you decide."],
  kept: ["Kept", "What goes on to training."],
};

// --- Sections -----------------------------------------------------------------------------------

function group(box, title, says, members) {
  const part = copy("group");
  text(part, ".name", title);
  text(part, ".says", says);
  part.querySelector("h3").hidden = !title;
  if (!says) part.querySelector(".says").remove();
  part.querySelector(".cards").append(...members.map((picture) => picture.card));
  box.append(part);
}

function lay(noSuspects) {
  page.pictures.forEach(build);
  page.pictures.forEach((picture) => picture.duplicateOf >= 0 && draw(picture));
  const all = new DocumentFragment();
  for (const [name, [title, says]] of Object.entries(SECTIONS)) {
    const members = page.pictures.filter((picture) => picture.section === name);
    const section = copy("section");
    section.id = name;
    text(section, ".name", title);
    text(section, ".says", name === "suspects" && noSuspects ? noSuspects : says);
    const groups = section.querySelector(".groups");
    if (name === "dropped") {
      for (const reason of page.reasons) {
        const own = members.filter((picture) => picture.reason === reason.name);
        group(groups, reason.name, reason.says, own);
      }
    } else if (members.length) {
      group(groups, "", "", members);
    }
    all.append(section);
  }
  find("sections").replaceChildren(all);
}

function fillFilters() {
  for (const { name, shown } of page.labels) filters.elements.label.append(new Option(shown, name));
  for (const { name } of page.reasons) filters.elements.reason.append(new Option(name, name));
}

function filter() {
  const { section, label, reason, words, open } = filters.elements;
  const sought = words.value.normalize("NFC").toLowerCase().split(/\s+/).filter(Boolean);
  page.visible = [];
  page.pictures.forEach((picture, position) => {
    const shows =
      (!section.value || picture.section === section.value) &&
      (!label.value || [picture.label, picture.countsUnder, labelOf(picture)].includes(label.value)) &&
      (!reason.value || picture.measures.some(([name]) => name === reason.value)) &&
      (!open.checked || (!picture.fixed && !decisionOf(picture))) &&
      sought.every((part) => picture.searched.includes(part));
    picture.card.hidden = !shows;
    if (shows) page.visible.push(position);
  });
  const shown = (box) => box.querySelectorAll(".card:not([hidden])").length;
  const filtered = page.visible.length < page.pictures.length;
  for (const box of document.querySelectorAll(".group, main > section")) {
    const amount = shown(box);
    text(box, ".n", amount);
    box.hidden = !amount && (filtered || box.id !== "suspects");
  }
  find("nothing").hidden = page.visible.length > 0;
  count();
  if (!page.visible.includes(page.current)) mark(page.visible[0] ?? -1);
}

// --- Dialogs ------------------------------------------------------------------------------------

function openLabels() {
  const picture = page.pictures[page.current];
  if (!picture || picture.fixed) return decide(() => undefined);
  const select = find("label-dialog").querySelector("select");
  const chosen = picture.suspect && !decisionOf(picture) ? picture.suspect.suggested : labelOf(picture);
  select.replaceChildren(
    ...page.labels.map(({ name, shown }) => new Option(shown, name, false, name === chosen)),
  );
  find("label-dialog").showModal();
  select.focus();
}

function openWhy() {
  const picture = page.pictures[page.current];
  if (!picture || picture.fixed) return decide(() => undefined);
  const input = find("why-dialog").querySelector("input");
  input.value = decisionOf(picture)?.why ?? "";
  find("why-dialog").showModal();
  input.focus();
}

function onClose(id, take) {
  const dialog = find(id);
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "ok") take(dialog);
    dialog.returnValue = "";
    page.pictures[page.current]?.card.focus({ preventScroll: true });
  });
}

onClose("label-dialog", (dialog) => {
  const { value } = dialog.querySelector("select");
  if (value) relabel(value);
});
onClose("why-dialog", (dialog) => explain(dialog.querySelector("input").value.trim().replace(/\s+/g, " ")));
onClose("help-dialog", () => {});
find("label-dialog").querySelector("select").addEventListener("keydown", (event) => {
  if (event.key === "Enter") find("label-dialog").close("ok");
});
find("label-dialog").querySelector("select").addEventListener("dblclick", () => find("label-dialog").close("ok"));
find("why-dialog").querySelector(".cancel").addEventListener("click", () => find("why-dialog").close(""));

// --- Keys and clicks ----------------------------------------------------------------------------

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  " ": turn,
  c: confirm,
  l: openLabels,
  s: () => page.pictures[page.current]?.suspect && relabel(page.pictures[page.current].suspect.suggested),
  w: openWhy,
  u: undo,
  f: () => document.body.classList.toggle("faces"),
  "/": () => filters.elements.words.focus(),
  "?": () => find("help-dialog").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const at = event.target;
  if (at.closest?.("input, select")) {
    if (event.key === "Escape" && page.visible.length) go(page.current);
    return;
  }
  if (event.key === " " && at.closest?.("button")) return; // the button itself takes it
  // Under a Hangul or Cyrillic layout the key J gives another letter, but lies where it lies.
  const key = /^[\x20-\x7e]$/.test(event.key) ? event.key : event.code.replace(/^Key/, "").toLowerCase();
  const action = KEYS[key];
  if (!action || (event.repeat && key !== "j" && key !== "k")) return;
  event.preventDefault();
  action();
});

find("sections").addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  if (!card) return;
  mark(Number(card.dataset.position));
  const button = event.target.closest("button");
  if (!button) return card.focus({ preventScroll: true });
  const { suspect } = page.pictures[page.current];
  if (button.matches(".turn")) turn();
  else if (button.matches(".relabel")) openLabels();
  else if (button.matches(".explain")) openWhy();
  else if (button.matches(".take")) relabel(suspect.suggested);
  else if (button.matches(".confirm")) confirm();
});

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
  const { body } = await request("decisions");
  setDecisions(body.decisions);
  page.pictures.forEach(draw);
  count();
  find("stale").hidden = body.version === page.version;
}
window.addEventListener("focus", () => page.version && inTurn(refresh));

async function start() {
  const { body } = await request("gallery");
  const { pictures, labels, reasons, version, cleaned } = body;
  Object.assign(page, { pictures, labels, reasons, version, cleaned });
  setDecisions(body.decisions);
  lay(body.noSuspects);
  fillFilters();
  filter();
  const last = page.pictures.findIndex((picture) => keyOf(picture) === sessionStorage.getItem("whoswho-current"));
  if (last >= 0) go(last);
  else page.pictures[page.current]?.card.focus({ preventScroll: true });
  const letters = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "letters.css" });
  document.head.append(letters);
}

start().catch((error) => {
  find("counts").textContent = error.message;
  find("counts").classList.add("bad");
});
