"use strict";
const PER_PAGE = 10;
const { samples, methods } = JSON.parse(document.getElementById("content").textContent);
const element = (id) => document.getElementById(id);
const controls = ["data", "decoding", "search", "first", "second", "least", "order"].map(element);
let page = 0;

function fill(select, values, chosen) {
  select.replaceChildren(...values.map((value) => new Option(value, value, false, value === chosen)));
}

/** Set the choices that depend on the data set. */
function chooseData() {
  const data = element("data").value;
  const names = methods[data];
  const inputs = samples[data];
  const decodings = ["greedy", "sampled"].filter((decoding) =>
    inputs.some((input) => names.some((name) => input.responses[name]?.[decoding])));
  fill(element("decoding"), decodings, element("decoding").value || decodings[0]);
  fill(element("first"), names, names[names.length - 1]);
  fill(element("second"), names, names[Math.max(names.length - 2, 0)]);
}

function score(input, name) {
  return input.responses[name]?.[element("decoding").value]?.[1] ?? null;
}

/** ROUGE-L of the first method minus that of the second; null where one has no score. */
function difference(input) {
  const [first, second] = ["first", "second"].map((id) => score(input, element(id).value));
  return first === null || second === null ? null : first - second;
}

function matches(input, words) {
  const decoding = element("decoding").value;
  const texts = [input.prompt, ...input.references];
  for (const response of Object.values(input.responses)) {
    if (response[decoding]) texts.push(response[decoding][0]);
  }
  const text = texts.join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

function chosen() {
  const words = element("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const least = Number(element("least").value) || 0;
  const order = element("order").value;
  let inputs = samples[element("data").value].filter((input) => matches(input, words));
  if (least > 0) inputs = inputs.filter((input) => Math.abs(difference(input) ?? 0) >= least);
  if (order !== "input") {
    const sign = order === "better" ? -1 : 1;
    inputs = inputs.filter((input) => difference(input) !== null);
    inputs.sort((a, b) => sign * (difference(a) - difference(b)));
  }
  return inputs;
}

function block(name, text, className) {
  const box = document.createElement("div");
  box.className = className;
  const heading = document.createElement("div");
  heading.className = "name";
  heading.textContent = name;
  const body = document.createElement("div");
  body.className = "text";
  body.textContent = text;
  box.append(heading, body);
  return box;
}

function card(input) {
  const article = document.createElement("article");
  article.append(block("prompt", input.prompt, "prompt"));
  article.append(block("reference", input.references.join("\n— or —\n"), "reference"));
  const columns = document.createElement("div");
  columns.className = "columns";
  const compared = [element("first").value, element("second").value];
  for (const name of methods[element("data").value]) {
    const response = input.responses[name]?.[element("decoding").value];
    if (!response) continue;
    const [text, value] = response;
    const label = value === null ? name : `${name}, ROUGE-L ${value.toFixed(1)}`;
    const isCompared = compared.includes(name) ? " compared" : "";
    columns.append(block(label, text || "(empty)", `response${isCompared}`));
  }
  article.append(columns);
  return article;
}

function show() {
  const inputs = chosen();
  const pages = Math.max(Math.ceil(inputs.length / PER_PAGE), 1);
  page = Math.min(Math.max(page, 0), pages - 1);
  const total = samples[element("data").value].length;
  element("count").textContent = `${inputs.length} of ${total} inputs, page ${page + 1} of ${pages} `;
  element("previous").disabled = page === 0;
  element("next").disabled = page === pages - 1;
  element("list").replaceChildren(...inputs.slice(page * PER_PAGE, (page + 1) * PER_PAGE).map(card));
}

function turn(step) {
  page += step;
  show();
  element("samples").scrollIntoView();
}

fill(element("data"), Object.keys(samples), Object.keys(samples)[0]);
chooseData();
element("data").addEventListener("input", chooseData);
for (const control of controls) {
  control.addEventListener("input", () => { page = 0; show(); });
}
element("previous").addEventListener("click", () => turn(-1));
element("next").addEventListener("click", () => turn(1));
show();
