// What the page knows: the pictures as the server gives them, and what a person decided.

export const find = (id) => document.getElementById(id);

export const page = {
  pictures: [], // as the server gives them, with their card while it is there
  labels: [],
  reasons: [],
  version: "",
  cleaned: "",
  byKey: new Map(), // key -> the pictures of that key
  visible: [], // positions in pictures
  current: -1,
  chosen: new Set(), // positions decided about together, the current one among them
};

let decisions = new Map(); // of picture keys, as review.csv has them

export function setDecisions(list) {
  decisions = new Map(list.map(({ sha256, label, decision }) => [`${sha256}\n${label}`, decision]));
}
export const setDecision = (picture, decision) => decisions.set(keyOf(picture), decision);

export const keyOf = (picture) => (picture.key ??= `${picture.sha256}\n${picture.label}`);
export const decisionOf = (picture) => decisions.get(keyOf(picture)) ?? null;
export const stateOf = (picture) =>
  picture.fixed ? picture.decided : (decisionOf(picture)?.decision ?? picture.checked);
export const labelOf = (picture) => decisionOf(picture)?.other_label || picture.label;
export const shownLabel = (name) => page.labels.find((label) => label.name === name)?.shown ?? name;
export const waits = (picture) =>
  !picture.fixed &&
  (stateOf(picture) !== picture.decided ||
    (stateOf(picture) === "keep" && labelOf(picture) !== picture.countsUnder));
