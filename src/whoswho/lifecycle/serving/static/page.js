// Pictures go to /predict one after the other; nothing of an answer is ever read as markup.

const find = (id) => document.getElementById(id);
const copy = (id) => find(id).content.firstElementChild.cloneNode(true);
const [drop, files, answers] = ["drop", "files", "answers"].map(find);
let noWhy = "";

async function model() {
  const response = await fetch("model");
  const said = await response.json();
  noWhy = said.no_why;
  find("model").textContent = `${said.version} knows ${said.labels.length} people`;
  find("notes").replaceChildren(
    ...said.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })),
  );
}

async function ask(file) {
  const form = new FormData();
  form.append("picture", file);
  form.append("page", "1");
  let response;
  try {
    response = await fetch("predict", { method: "POST", body: form });
  } catch {
    return { problem: "The server does not answer: is `whoswho serve` still running?" };
  }
  const said = await response.json().catch(() => ({}));
  return response.ok ? said : { problem: said.error ?? `The server answered ${response.status}.` };
}

function frame(card, face) {
  const picture = card.querySelector(".picture img");
  const box = card.querySelector(".face");
  if (!face || !picture.naturalWidth) return;
  const [x, y] = [100 / picture.naturalWidth, 100 / picture.naturalHeight]; // percent a pixel
  const [right, bottom] = [100 - face.right * x, 100 - face.bottom * y];
  box.style.inset = `${face.top * y}% ${right}% ${bottom}% ${face.left * x}%`;
  box.hidden = false;
}

function bars(card, said) {
  card.querySelector("tbody").replaceChildren(
    ...Object.entries(said.probabilities).map(([label, probability]) => {
      const row = copy("row");
      row.querySelector("bdi").textContent = label;
      row.querySelector(".number").textContent = probability.toFixed(3);
      row.querySelector("meter").value = probability;
      return row;
    }),
  );
}

function explain(card, said) {
  const looked = card.querySelector(".looked");
  looked.hidden = !said.looked;
  if (said.looked) looked.querySelector("img").src = said.looked;
  const why = card.querySelector(".why");
  why.hidden = !said.why?.length;
  why.querySelector("ol").replaceChildren(
    ...(said.why ?? []).map((near) => {
      const item = copy("near");
      item.querySelector(".file").textContent = near.file;
      item.querySelector(".says").textContent =
        [near.similarity.toFixed(3), near.decision, near.source].filter(Boolean).join(" · ");
      if (near.picture) item.querySelector("img").src = near.picture;
      else item.querySelector("img").remove();
      return item;
    }),
  );
  const absent = card.querySelector(".no-why");
  absent.hidden = Boolean(said.why) || !noWhy;
  absent.textContent = `Why is not known here: ${noWhy}`;
}

async function show(file) {
  const card = copy("answer");
  const picture = card.querySelector(".picture img");
  picture.onerror = () => (picture.hidden = true); // a format that browsers do not draw
  picture.src = URL.createObjectURL(file);
  answers.prepend(card);
  const [said] = await Promise.all([ask(file), picture.decode().catch(() => {})]);
  card.classList.toggle("bad", Boolean(said.problem));
  card.querySelector(".name").textContent = said.problem ?? said.label;
  if (said.problem) return;
  card.querySelector(".looked-at").textContent =
    `looked at: ${said.looked_at}; similarity ${said.similarity.toFixed(3)}; ${said.version}`;
  frame(card, said.face);
  bars(card, said);
  explain(card, said);
}

let queue = model();
const take = (list) => {
  for (const file of list) queue = queue.then(() => show(file)).catch(console.error);
};

files.addEventListener("change", () => {
  take(files.files);
  files.value = "";
});
for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", over);
    if (kind === "drop") take(event.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => take(event.clipboardData.files));
