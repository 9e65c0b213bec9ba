// Requests to the server, one at a time, and the line that says what came of them.

import { find } from "./state.js";

export const say = (text, bad = false) => {
  const line = find("said");
  line.textContent = text;
  line.classList.toggle("bad", bad);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (line.textContent = ""), bad ? 12000 : 4000);
};

export async function request(address, options = {}) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer: is `whoswho review` still running?");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `The server answered ${response.status}.`);
  return body;
}

// One at a time, and each against what the one before left.
let queue = Promise.resolve();
export const inTurn = (work) =>
  (queue = queue.then(work).catch((error) => say(error.message, true)));
