// The editor: what is suggested stands at the cursor until it is accepted.

import { events } from "./api.js";
import { meter } from "./tokens.js";

const PAUSE_MS = 250;
const code = document.getElementById("code");
const shown = document.getElementById("shown");
const accept = document.getElementById("accept");
const said = document.getElementById("suggestion");
let ghost = "", at = 0, running = null, pause = 0;

code.value = "import numpy as np\n\n\ndef mean(values):\n    \n\n\nprint(mean([1, 2, 3]))\n";

/** Text and suggestion as they stand; the text that is typed in is invisible behind it. */
function draw() {
  const before = code.value.slice(0, at), after = code.value.slice(at);
  const span = document.createElement("span");
  span.className = "ghost";
  span.textContent = ghost;
  shown.replaceChildren(before, span, `${after}\n`);
  shown.scrollTop = code.scrollTop;
  accept.disabled = !ghost;
}

function dismiss() {
  running?.abort();
  running = null;
  clearTimeout(pause);
  ghost = said.textContent = "";
  at = code.selectionStart;
  draw();
}

/** Ask what belongs at the cursor; `trouble` is told what goes wrong. */
export async function fill(model, trouble) {
  dismiss();
  if (!code.value.trim() || code.selectionStart !== code.selectionEnd) return;
  const mine = running = new AbortController();
  const body = {
    model, prompt: code.value.slice(0, at), suffix: code.value.slice(at), temperature: 0, logprobs: 0,
    max_tokens: Number(document.getElementById("fill-tokens").value) || 48,
  };
  const count = meter();
  trouble("");
  try {
    for await (const event of events("v1/completions", body, mine.signal)) {
      const [choice] = event.choices;
      count(event);
      if (!choice?.text || mine !== running) continue;
      ghost += choice.text;
      draw();
    }
    said.textContent = ghost && `Suggested: ${ghost}`;
  } catch (error) {
    if (!mine.signal.aborted) trouble(error.message);
  }
}

function take() {
  if (!ghost) return;
  const text = ghost;
  dismiss();
  code.setRangeText(text, at, at, "end");
  at = code.selectionStart;
  draw();
  code.focus();
}

/** Make the editor work; `model` says which one is chosen. */
export function start(model, trouble) {
  const now = () => fill(model(), trouble);
  code.addEventListener("input", () => {
    dismiss();
    if (document.getElementById("while-typing").checked) pause = setTimeout(now, PAUSE_MS);
  });
  code.addEventListener("keydown", (event) => {
    if (event.key === "Tab" && !event.shiftKey && ghost) {
      event.preventDefault();
      take();
    } else if (event.key === "Escape") {
      dismiss();
    } else if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      now();
    }
  });
  document.addEventListener("selectionchange", () => {
    if (document.activeElement === code && code.selectionStart !== at) dismiss();
  });
  code.addEventListener("scroll", () => { shown.scrollTop = code.scrollTop; });
  document.getElementById("fill-now").addEventListener("click", () => { code.focus(); now(); });
  accept.addEventListener("click", take);
  const gap = code.value.indexOf("    \n") + 4;
  code.setSelectionRange(gap, gap);
  dismiss();
}
