// A person's decisions: made, sent, undone.

import { go, redraw } from "./cards.js";
import { inTurn, request, say } from "./server.js";
import { decisionOf, labelOf, page, setDecision, stateOf } from "./state.js";

const token = document.querySelector("meta[name=token]").content;
const done = []; // for undo: {picture, before, after}

async function send(picture, decision, isUndo = false) {
  const before = decisionOf(picture);
  const { body, changed } = await request("decision", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Whoswho-Token": token },
    body: JSON.stringify({ cleaned: page.cleaned, sha256: picture.sha256, label: picture.label, decision, seen: before }),
  });
  setDecision(picture, body.decision);
  redraw(picture);
  if (changed) {
    say("This picture was decided elsewhere meanwhile. It is shown as it is now; decide again if you disagree.", true);
    return false;
  }
  if (!isUndo && JSON.stringify(before) !== JSON.stringify(body.decision)) {
    done.push({ picture, before, after: body.decision });
  }
  return true;
}

const plain = (decision, other = "", why = "") => ({ decision, other_label: other, why, when: null });
// A row that says what the checks say anyway, and nothing more, is none.
const unlessIdle = (picture, decision) =>
  decision.decision === picture.checked && !decision.other_label && !decision.why ? null : decision;

export function decide(make) {
  const picture = page.pictures[page.current];
  if (!picture) return;
  if (picture.fixed) {
    say(`This picture cannot be kept: ${picture.fixed}.`);
    return;
  }
  inTurn(() => {
    const decision = make(picture);
    return decision === undefined ? undefined : send(picture, decision);
  });
}

export const turn = () =>
  decide((picture) => unlessIdle(picture, plain(stateOf(picture) === "keep" ? "drop" : "keep")));

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
    if (JSON.stringify(decisionOf(last.picture)) !== JSON.stringify(last.after)) {
      return say("This picture was decided elsewhere since; its undo would take that back. Nothing changed.", true);
    }
    if (await send(last.picture, last.before, true)) {
      if (last.picture.card.hidden) say(`Undone: ${last.picture.name} (hidden by the filters).`);
      else go(page.pictures.indexOf(last.picture));
    }
  });
}
