// A person's decisions: made, sent, undone.

import { inTurn, request, say } from "./server.js";
import { decisionOf, page, setDecision, stateOf } from "./state.js";
import { go, redraw } from "./walking.js";

const token = document.querySelector("meta[name=token]").content;
const AT_ONCE = 50; // decisions a request
const done = []; // for undo: lists of {picture, before, after}

const post = (changes) =>
  request("decisions", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Whoswho-Token": token },
    body: JSON.stringify({ cleaned: page.cleaned, changes }),
  });
const bodyOf = ({ picture, decision }) => ({ sha256: picture.sha256, label: picture.label, decision, seen: decisionOf(picture) });

// Send what is to be written about pictures; what was written, as one step that can be undone.
async function send(changes, isUndo = false) {
  const written = [];
  const errors = [];
  try {
    for (let start = 0; start < changes.length; start += AT_ONCE) {
      const part = changes.slice(start, start + AT_ONCE);
      const { outcomes } = await post(part.map(bodyOf));
      outcomes.forEach(({ error, decision, changed }, index) => {
        if (error) return errors.push(error);
        const { picture } = part[index];
        const before = decisionOf(picture);
        setDecision(picture, decision);
        if (!changed) written.push({ picture, before, after: decision });
      });
    }
    report(changes.length, written.length, errors);
  } finally {
    redraw(changes.map(({ picture }) => picture));
    const step = written.filter(({ before, after }) => JSON.stringify(before) !== JSON.stringify(after));
    if (!isUndo && step.length) done.push(step);
  }
  return written.length === changes.length;
}

function report(asked, written, errors) {
  const elsewhere = asked - written - errors.length;
  if (asked === 1) {
    if (elsewhere) say("This picture was decided elsewhere meanwhile. It is shown as it is now; decide again if you disagree.", true);
    if (errors.length) say(errors[0], true);
    return;
  }
  const lines = [`${written} of ${asked} pictures decided; u undoes them all.`];
  if (elsewhere) lines.push(`${elsewhere} decided elsewhere meanwhile: shown as they are now.`);
  if (errors.length) lines.push(`${errors.length} refused: ${errors[0]}`);
  say(lines.join(" "), written < asked);
}

const plain = (decision, other = "", why = "") => ({ decision, other_label: other, why, when: null });
// A row that says what the checks say anyway, and nothing more, is none.
const unlessIdle = (picture, decision) =>
  decision.decision === picture.checked && !decision.other_label && !decision.why ? null : decision;

// About the current picture and all chosen with it; two cards may be of one row.
export function decide(make) {
  const current = page.pictures[page.current];
  if (!current) return;
  const members = page.chosen.size ? [...page.chosen].map((position) => page.pictures[position]) : [current];
  const open = members.filter(({ fixed }) => !fixed);
  if (!open.length) return say(`This picture cannot be kept: ${current.fixed}.`);
  inTurn(() => {
    const changes = open
      .map((picture) => ({ picture, decision: make(picture, open.includes(current) ? current : open[0]) }))
      .filter(({ decision }) => decision !== undefined);
    return changes.length ? send(changes) : undefined;
  });
}

export const turn = () =>
  decide((picture, first) => {
    const goal = stateOf(first) === "keep" ? "drop" : "keep";
    return stateOf(picture) === goal ? undefined : unlessIdle(picture, plain(goal));
  });

export const confirm = () =>
  decide((picture) => {
    if (decisionOf(picture)) return say("You have decided about this one already.");
    return plain(stateOf(picture));
  });

export const relabel = (name) =>
  decide((picture) =>
    unlessIdle(picture, plain("keep", name === picture.label ? "" : name, decisionOf(picture)?.why ?? "")),
  );

export const explain = (why) =>
  decide((picture) => unlessIdle(picture, plain(stateOf(picture), decisionOf(picture)?.other_label ?? "", why)));

export function undo() {
  inTurn(async () => {
    const last = done.pop();
    if (!last) return say("Nothing to undo.");
    const [{ picture }] = last;
    const same = last.filter((each) => JSON.stringify(decisionOf(each.picture)) === JSON.stringify(each.after));
    if (!same.length) {
      return say("This picture was decided elsewhere since; its undo would take that back. Nothing changed.", true);
    }
    if (!(await send(same.map((each) => ({ picture: each.picture, decision: each.before })), true))) return;
    if (same.length > 1) say(`Undone: ${same.length} of ${last.length} pictures.`);
    const position = page.pictures.indexOf(picture);
    if (page.visible.includes(position)) go(position);
    else say(`Undone: ${picture.name} (hidden by the filters).`);
  });
}
