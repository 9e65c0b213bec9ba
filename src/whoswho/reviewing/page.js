// The review page: cards in the order the server gives, and a person's decisions about them.

const token = document.querySelector("meta[name=token]").content;
const find = (id) => document.getElementById(id);
const filters = find("filters");
const SECTIONS = {
  dropped: ["Dropped", "What cleaning took out, by reason. Turn what should stay."],
  suspects: ["Suspects", "Kept, but they look as if they lie under a wrong label; the surest first. Nothing happens to them unless you decide."],
  kept: ["Kept", "What goes on to training."],
};

let pictures = []; // as the server gives them, with their card and what is searched
let words = new Map(); // of picture keys: what a person says, as review.csv has it
let version = "";
let cleaned = "";
let labels = [];
let reasons = [];
let visible = []; // places in pictures
let current = -1;
const done = []; // for undo: {picture, before, after}

// --- What holds ---------------------------------------------------------------------------------

const keyOf = (picture) => `${picture.sha256}\n${picture.label}`;
const wordOf = (picture) => words.get(keyOf(picture)) ?? null;
const stateOf = (picture) => (picture.fixed ? picture.decided : (wordOf(picture)?.decision ?? picture.checked));
const labelOf = (picture) => wordOf(picture)?.other_label || picture.label;
const shownLabel = (name) => labels.find((label) => label.name === name)?.shown ?? name;
const waits = (picture) =>
  !picture.fixed &&
  (stateOf(picture) !== picture.decided ||
    (stateOf(picture) === "keep" && labelOf(picture) !== picture.countsUnder));

function setWords(list) {
  words = new Map(list.map(({ sha256, label, word }) => [`${sha256}\n${label}`, word]));
}

// --- Deciding -----------------------------------------------------------------------------------

const say = (text, bad = false) => {
  const line = find("said");
  line.textContent = text;
  line.classList.toggle("bad", bad);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (line.textContent = ""), bad ? 12000 : 4000);
};

async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer: is `whoswho review` still running?");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok && answer.status !== 409) throw new Error(body.error ?? `The server answered ${answer.status}.`);
  return { body, changed: answer.status === 409 };
}

// One at a time, and each against what the one before left.
let queue = Promise.resolve();
const inTurn = (work) => (queue = queue.then(work).catch((error) => say(error.message, true)));

async function send(picture, word, isUndo = false) {
  const before = wordOf(picture);
  const { body, changed } = await ask("decision", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Whoswho-Token": token },
    body: JSON.stringify({ cleaned, sha256: picture.sha256, label: picture.label, word, seen: before }),
  });
  words.set(keyOf(picture), body.word);
  redraw(picture);
  if (changed) {
    say("This picture was decided elsewhere meanwhile. It is shown as it is now; decide again if you disagree.", true);
    return false;
  }
  if (!isUndo && JSON.stringify(before) !== JSON.stringify(body.word)) {
    done.push({ picture, before, after: body.word });
  }
  return true;
}

const plain = (decision, other = "", why = "") => ({ decision, other_label: other, why, when: null });
// A row that says what the checks say anyway, and nothing more, is none.
const unlessIdle = (picture, word) =>
  word.decision === picture.checked && !word.other_label && !word.why ? null : word;

function decide(make) {
  const picture = pictures[current];
  if (!picture) return;
  if (picture.fixed) {
    say(`This picture cannot be kept: ${picture.fixed}.`);
    return;
  }
  inTurn(() => {
    const word = make(picture);
    return word === undefined ? undefined : send(picture, word);
  });
}

const turn = () =>
  decide((picture) => unlessIdle(picture, plain(stateOf(picture) === "keep" ? "drop" : "keep")));

const confirm = () =>
  decide((picture) => {
    if (wordOf(picture)) return say("You have decided about this one already.");
    return plain(stateOf(picture));
  });

const relabel = (name) =>
  decide((picture) =>
    unlessIdle(picture, plain("keep", name === picture.label ? "" : name, wordOf(picture)?.why ?? "")),
  );

const explain = (why) =>
  decide((picture) => unlessIdle(picture, plain(stateOf(picture), wordOf(picture)?.other_label ?? "", why)));

function undo() {
  inTurn(async () => {
    const last = done.pop();
    if (!last) return say("Nothing to undo.");
    if (JSON.stringify(wordOf(last.picture)) !== JSON.stringify(last.after)) {
      return say("This picture was decided elsewhere since; its undo would take that back. Nothing changed.", true);
    }
    if (await send(last.picture, last.before, true)) {
      if (last.picture.card.hidden) say(`Undone: ${last.picture.name} (hidden by the filters).`);
      else go(pictures.indexOf(last.picture));
    }
  });
}

// --- Cards --------------------------------------------------------------------------------------

const copy = (id) => find(id).content.firstElementChild.cloneNode(true);
const text = (parent, selector, value) => (parent.querySelector(selector).textContent = value);
const make = (name, value = "") => Object.assign(document.createElement(name), { textContent: value });

const sizeOf = ({ size: [width, height] }) => (width ? `, ${width}×${height}` : "");

function fillFrame(frame, picture) {
  const [width, height] = picture.size;
  const none = (why) => frame.replaceChildren(make("span", why));
  if (!width) return none("no picture to show");
  const image = new Image();
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = `${picture.folder}, ${picture.name}`;
  image.onerror = () => none("no picture to show: the file is gone or has changed since cleaning");
  image.src = `thumbnail/${picture.sha256}`;
  frame.replaceChildren(image);
  if (picture.face) {
    const [left, top, right, bottom] = picture.face;
    const box = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    box.setAttribute("viewBox", `0 0 ${width} ${height}`);
    box.setAttribute("aria-hidden", "true");
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) {
      rect.setAttribute(name, value);
    }
    box.append(rect);
    frame.append(box);
  }
}

function build(picture, place) {
  const card = copy("card");
  card.dataset.place = place;
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
  const twin = pictures[picture.duplicateOf];
  if (twin) {
    card.classList.add("pair");
    const beside = card.querySelector(".shot").cloneNode(true);
    fillFrame(beside.querySelector(".frame"), twin);
    card.querySelector(".shots").append(beside);
    (twin.besides ??= []).push(picture);
  }
  if (picture.suspect) {
    const { shown, own, other } = picture.suspect;
    const box = copy("suspect");
    text(box, ".suggested", shown);
    text(box, ".chances", `${Number(other).toFixed(2)}, own label ${Number(own).toFixed(2)}`);
    text(box, ".take bdi", shown);
    box.querySelector(".warning").hidden = picture.split !== "test";
    card.querySelector(".measures").after(box);
  }
  for (const button of card.querySelectorAll("button")) button.tabIndex = -1;
  picture.searched = [
    picture.file, picture.folder, picture.name, picture.split, picture.suspect?.shown ?? "",
    ...picture.measures.flat(),
  ].join("\n").normalize("NFC").toLowerCase();
  draw(picture);
  return card;
}

// What a decision changes on a card.
function draw(picture) {
  const { card } = picture;
  const word = wordOf(picture);
  const state = stateOf(picture);
  card.classList.toggle("goes", state === "drop");
  const button = card.querySelector(".turn");
  button.textContent = state === "keep" ? "kept" : "dropped";
  button.setAttribute("aria-checked", String(state === "keep"));
  button.setAttribute("aria-label", `keep ${picture.name} of ${picture.folder}`);
  if (picture.fixed) button.setAttribute("aria-disabled", "true");
  const by = card.querySelector(".by");
  by.textContent = [word ? "by you" : "", waits(picture) ? "waits" : ""].filter(Boolean).join(", ");
  by.title = waits(picture) ? "`dvc repro` has not taken it yet" : "";
  const moved = card.querySelector(".moved");
  moved.hidden = labelOf(picture) === picture.label;
  text(moved, "bdi", shownLabel(labelOf(picture)));
  const why = card.querySelector(".why");
  why.hidden = !word?.why;
  text(why, "bdi", word?.why ?? "");
  const note = card.querySelector(".note");
  const twin = pictures[picture.duplicateOf];
  // Of one photograph the best stays; both stay only where a person says so of both.
  const near = picture.reason === "near_duplicate";
  const both = near && twin && wordOf(twin)?.decision === "keep";
  note.hidden = both || state === "drop" || picture.decided === "keep" || !(near || picture.reason === "duplicate");
  note.textContent = near
    ? "The picture beside it goes instead, unless you confirm that one too."
    : "The picture beside it goes instead.";
  if (twin) {
    const [own, beside] = card.querySelectorAll("figcaption");
    const whose = twin.label === picture.label ? "" : `${twin.folder} / `;
    own.replaceChildren("this one: ", verdict(picture));
    beside.replaceChildren(make("bdi", `${whose}${twin.name}${sizeOf(twin)}`), ": ", verdict(twin));
  }
}

function verdict(picture) {
  const state = stateOf(picture);
  const mark = make("b", state === "keep" ? "kept" : "dropped");
  mark.className = state;
  return mark;
}

function redraw(picture) {
  const key = keyOf(picture);
  for (const one of pictures) {
    if (one === picture || keyOf(one) === key) {
      draw(one);
      (one.besides ?? []).forEach(draw);
    }
  }
  count();
}

function count() {
  const decided = pictures.filter((picture) => !picture.fixed && wordOf(picture)).length;
  const waiting = pictures.filter(waits).length;
  const amount = visible.length === pictures.length
    ? `${pictures.length} pictures` : `${visible.length} of ${pictures.length} pictures`;
  find("counts").textContent =
    `${amount} · ${decided} decided by you · ${waiting || "nothing"} ${waiting === 1 ? "waits" : waiting ? "wait" : "waits"} for dvc repro`;
}

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
  pictures.forEach((picture, place) => build(picture, place));
  pictures.forEach((picture) => picture.duplicateOf >= 0 && draw(picture));
  const all = new DocumentFragment();
  for (const [name, [title, says]] of Object.entries(SECTIONS)) {
    const members = pictures.filter((picture) => picture.section === name);
    const section = copy("section");
    section.id = name;
    text(section, ".name", title);
    text(section, ".says", name === "suspects" && noSuspects ? noSuspects : says);
    const groups = section.querySelector(".groups");
    if (name === "dropped") {
      for (const reason of reasons) {
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
  for (const { name, shown } of labels) filters.elements.label.append(new Option(shown, name));
  for (const { name } of reasons) filters.elements.reason.append(new Option(name, name));
}

function filter() {
  const { section, label, reason, words: find_, open } = filters.elements;
  const sought = find_.value.normalize("NFC").toLowerCase().split(/\s+/).filter(Boolean);
  visible = [];
  pictures.forEach((picture, place) => {
    const shows =
      (!section.value || picture.section === section.value) &&
      (!label.value || [picture.label, picture.countsUnder, labelOf(picture)].includes(label.value)) &&
      (!reason.value || picture.measures.some(([name]) => name === reason.value)) &&
      (!open.checked || (!picture.fixed && !wordOf(picture))) &&
      sought.every((part) => picture.searched.includes(part));
    picture.card.hidden = !shows;
    if (shows) visible.push(place);
  });
  const shown = (box) => box.querySelectorAll(".card:not([hidden])").length;
  const filtered = visible.length < pictures.length;
  for (const box of document.querySelectorAll(".group, main > section")) {
    const amount = shown(box);
    text(box, ".n", amount);
    box.hidden = !amount && (filtered || box.id !== "suspects");
  }
  find("nothing").hidden = visible.length > 0;
  count();
  if (!visible.includes(current)) mark(visible[0] ?? -1);
}

// --- Walking ------------------------------------------------------------------------------------

function mark(place) {
  const before = pictures[current]?.card;
  const after = pictures[place]?.card;
  if (before) {
    before.classList.remove("current");
    before.tabIndex = -1;
    for (const button of before.querySelectorAll("button")) button.tabIndex = -1;
  }
  current = place;
  if (after) {
    after.classList.add("current");
    after.tabIndex = 0;
    for (const button of after.querySelectorAll("button")) button.tabIndex = 0;
    sessionStorage.setItem("whoswho-current", keyOf(pictures[place]));
  }
}

function go(place) {
  if (place === undefined || place < 0) return;
  mark(place);
  const { card } = pictures[place];
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

const step = (by) => go(visible[Math.min(Math.max(visible.indexOf(current) + by, 0), visible.length - 1)]);

// --- Dialogs ------------------------------------------------------------------------------------

function openLabels() {
  const picture = pictures[current];
  if (!picture || picture.fixed) return decide(() => undefined);
  const select = find("label-dialog").querySelector("select");
  const chosen = picture.suspect && !wordOf(picture) ? picture.suspect.suggested : labelOf(picture);
  select.replaceChildren(
    ...labels.map(({ name, shown }) => new Option(shown, name, false, name === chosen)),
  );
  find("label-dialog").showModal();
  select.focus();
}

function openWhy() {
  const picture = pictures[current];
  if (!picture || picture.fixed) return decide(() => undefined);
  const input = find("why-dialog").querySelector("input");
  input.value = wordOf(picture)?.why ?? "";
  find("why-dialog").showModal();
  input.focus();
}

function onClose(id, take) {
  const dialog = find(id);
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "ok") take(dialog);
    dialog.returnValue = "";
    pictures[current]?.card.focus({ preventScroll: true });
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
  s: () => pictures[current]?.suspect && relabel(pictures[current].suspect.suggested),
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
    if (event.key === "Escape" && visible.length) go(current);
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
  mark(Number(card.dataset.place));
  const button = event.target.closest("button");
  if (!button) return card.focus({ preventScroll: true });
  const { suspect } = pictures[current];
  if (button.matches(".turn")) turn();
  else if (button.matches(".relabel")) openLabels();
  else if (button.matches(".explain")) openWhy();
  else if (button.matches(".take")) relabel(suspect.suggested);
  else if (button.matches(".confirm")) confirm();
});

filters.addEventListener("input", filter);
filters.addEventListener("submit", (event) => {
  event.preventDefault();
  if (visible.length) go(current);
});
find("help-button").addEventListener("click", () => find("help-dialog").showModal());
find("reload").addEventListener("click", () => location.reload());

// --- Reading ------------------------------------------------------------------------------------

// Another tab, an editor or `dvc repro` may have been at work while this page lay behind.
async function refresh() {
  const { body } = await ask("words");
  setWords(body.words);
  pictures.forEach(draw);
  count();
  find("stale").hidden = body.version === version;
}
window.addEventListener("focus", () => version && inTurn(refresh));

async function start() {
  const { body } = await ask("gallery");
  ({ pictures, labels, reasons, version, cleaned } = body);
  setWords(body.words);
  lay(body.noSuspects);
  fillFilters();
  filter();
  const last = pictures.findIndex((picture) => keyOf(picture) === sessionStorage.getItem("whoswho-current"));
  if (last >= 0) go(last);
  else pictures[current]?.card.focus({ preventScroll: true });
  const letters = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "letters.css" });
  document.head.append(letters);
}

start().catch((error) => {
  find("counts").textContent = error.message;
  find("counts").classList.add("bad");
});
