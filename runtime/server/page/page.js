// The page: tabs, theme, completion and chat.

import { events, get } from "./api.js";
import { start } from "./fill.js";
import { chatTokens, completionTokens, meter, shower, watch } from "./tokens.js";

const $ = (id) => document.getElementById(id);
const model = () => $("model").value;
const stops = document.querySelectorAll(".stop");
let messages = [], saying = null; // a conversation, and the answer that is on its way
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
  const out = $("continuation"), count = meter(), show = shower(), prompt = $("prompt").value;
  out.replaceChildren();
  const body = {
    model: model(), prompt, logprobs: 4,
    temperature: Number($("temperature").value), max_tokens: Number($("complete-tokens").value),
  };
  return run("v1/completions", body, (event) => {
    const [choice] = event.choices;
    count(event);
    if (choice) show(out, choice.text, completionTokens(choice, prompt));
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

/** Send what was typed; an answer on its way ends, and stays as far as it has come. */
async function say() {
  const text = $("said").value.trim();
  if (!text) return;
  $("said").value = "";
  running?.abort();
  await saying;
  saying = answer(messages, text);
}

async function answer(talk, text) {
  const count = meter(), show = shower();
  const asked = bubble("user", text), item = bubble("assistant");
  let said = "", thought = null;
  talk.push({ role: "user", content: text });
  const body = { model: model(), messages: talk, logprobs: true, top_logprobs: 4 };
  await run("v1/chat/completions", body, (event) => {
    const [choice] = event.choices, delta = choice?.delta ?? {};
    const tokens = choice ? chatTokens(choice) : [];
    count(event);
    if (delta.reasoning_content) {
      thought ??= item.appendChild(document.createElement("span"));
      thought.className = "thought";
      show(thought, delta.reasoning_content, tokens);
    } else if (choice) {
      said += delta.content ?? "";
      show(item, delta.content ?? "", tokens);
    }
    item.scrollIntoView({ block: "nearest" });
  });
  if (said) {
    talk.push({ role: "assistant", content: said });
    return;
  }
  talk.pop(); // what has no answer was not said
  asked.remove();
  item.remove();
  if (talk === messages) $("said").value ||= text;
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
$("complete").addEventListener("keydown", (event) => {
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
  messages = [];
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
