// The page: tabs, theme, completion and chat.

import { events, get } from "./api.js";
import { start } from "./fill.js";
import { append, chatTokens, completionTokens, meter, watch } from "./tokens.js";

const $ = (id) => document.getElementById(id);
const model = () => $("model").value;
const stops = document.querySelectorAll(".stop");
const messages = [];
let running = null;

function trouble(text) {
  $("trouble").hidden = !text;
  $("trouble").textContent = text;
}

/** Run a stream to its end; another one, or a Stop button, ends it. */
async function run(path, body, take) {
  running?.abort();
  const mine = running = new AbortController();
  for (const stop of stops) stop.disabled = false;
  trouble("");
  try {
    for await (const event of events(path, body, mine.signal)) take(event);
  } catch (error) {
    if (!mine.signal.aborted) trouble(error.message);
  }
  if (mine === running) for (const stop of stops) stop.disabled = true;
}

function goOn() {
  const out = $("continuation"), count = meter();
  out.replaceChildren();
  const body = {
    model: model(), prompt: $("prompt").value, logprobs: 4,
    temperature: Number($("temperature").value), max_tokens: Number($("complete-tokens").value),
  };
  return run("v1/completions", body, (event) => {
    const choice = event.choices[0];
    const tokens = choice?.text ? completionTokens(choice) : [];
    count(event, tokens.length);
    if (choice?.text) append(out, choice.text, tokens);
  });
}

function bubble(role, text = "") {
  const item = document.createElement("li");
  item.className = role;
  item.append(text);
  $("messages").append(item);
  item.scrollIntoView({ block: "nearest" });
  return item;
}

async function say() {
  const text = $("said").value.trim();
  if (!text) return;
  $("said").value = "";
  messages.push({ role: "user", content: text });
  bubble("user", text);
  const item = bubble("assistant"), count = meter();
  let answer = "", thought = null;
  const body = { model: model(), messages, logprobs: true, top_logprobs: 4 };
  await run("v1/chat/completions", body, (event) => {
    const choice = event.choices[0], delta = choice?.delta ?? {};
    if (delta.reasoning_content) {
      thought ??= item.appendChild(document.createElement("span"));
      thought.className = "thought";
      thought.append(delta.reasoning_content);
    }
    const tokens = delta.content ? chatTokens(choice) : [];
    count(event, tokens.length);
    if (!delta.content) return;
    answer += delta.content;
    append(item, delta.content, tokens);
    item.scrollIntoView({ block: "nearest" });
  });
  if (answer) messages.push({ role: "assistant", content: answer });
  else item.remove();
}

function choose(tab) {
  for (const other of document.querySelectorAll("[role=tab]")) {
    const isChosen = other === tab;
    other.setAttribute("aria-selected", isChosen);
    other.tabIndex = isChosen ? 0 : -1;
    $(other.getAttribute("aria-controls")).hidden = !isChosen;
  }
  trouble("");
  tab.focus();
}

for (const [i, tab] of [...document.querySelectorAll("[role=tab]")].entries()) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    const tabs = document.querySelectorAll("[role=tab]");
    if (step) choose(tabs[(i + step + tabs.length) % tabs.length]);
  });
}
for (const stop of stops) stop.addEventListener("click", () => running?.abort());
$("go").addEventListener("click", goOn);
$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.ctrlKey) goOn();
});
$("say").addEventListener("submit", (event) => { event.preventDefault(); say(); });
$("said").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    say();
  }
});
$("anew").addEventListener("click", () => {
  running?.abort();
  messages.length = 0;
  $("messages").replaceChildren();
});
$("theme").addEventListener("click", () => {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const root = document.documentElement;
  root.dataset.theme = (root.dataset.theme ?? (isDark ? "dark" : "light")) === "dark" ? "light" : "dark";
});

start(model, trouble);
try {
  for (const { id } of (await get("v1/models")).data) $("model").append(new Option(id, id));
} catch (error) {
  trouble(error.message);
}
watch();
