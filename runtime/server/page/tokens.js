// Tokens with their probabilities, and what an answer cost.

import { get } from "./api.js";

const tooltip = document.getElementById("likely");
const set = (id, text) => { document.getElementById(id).textContent = text; };

/** The tokens of a completion's choice: text, log-probability, and the likeliest in its place. */
export function completionTokens(choice) {
  const told = choice.logprobs;
  if (!told?.tokens?.length) return [{ text: choice.text }];
  return told.tokens.map((text, i) => ({
    text, logprob: told.token_logprobs[i], top: Object.entries(told.top_logprobs?.[i] ?? {}),
  }));
}

/** The same of a chat's choice. */
export function chatTokens(choice) {
  const told = choice.logprobs?.content;
  if (!told?.length) return [{ text: choice.delta.content ?? "" }];
  return told.map(({ token, logprob, top_logprobs: top }) => ({
    text: token, logprob, top: (top ?? []).map((one) => [one.token, one.logprob]),
  }));
}

/** Show text in an element; its tokens' probabilities where the tokens spell it. */
export function append(element, text, tokens) {
  const spelled = tokens.map((token) => token.text).join("");
  if (spelled !== text || tokens.some((token) => token.logprob === undefined)) {
    element.append(text);
    return;
  }
  for (const token of tokens) {
    const span = document.createElement("span");
    span.className = "token";
    span.textContent = token.text;
    span.dataset.likely = [[token.text, token.logprob], ...token.top.filter(([t]) => t !== token.text)]
      .map(([t, logprob]) => `${percent(logprob)}  ${JSON.stringify(t)}`).join("\n");
    element.append(span);
  }
}

const percent = (logprob) => `${(100 * Math.exp(logprob)).toFixed(1).padStart(5)} %`;

document.addEventListener("pointerover", ({ target }) => {
  const likely = target.dataset?.likely;
  tooltip.hidden = !likely;
  if (!likely) return;
  tooltip.textContent = likely;
  const { left, bottom } = target.getBoundingClientRect();
  tooltip.style.left = `${Math.max(0, Math.min(left, innerWidth - tooltip.offsetWidth - 8))}px`;
  tooltip.style.top = `${Math.min(bottom + 4, innerHeight - tooltip.offsetHeight - 8)}px`;
});

/** What counts an answer's tokens a second, told of each of its events. */
export function meter() {
  let first = 0, n = 0;
  return (event, nTokens) => {
    const usage = event.usage;
    n = usage?.completion_tokens ?? n + nTokens; // what an event holds is a guess where no token is told
    first ||= performance.now();
    const seconds = (performance.now() - first) / 1000;
    if (n > 1 && seconds > 0) set("speed", `${((n - 1) / seconds).toFixed(1)} tok/s`);
    if (!usage) return;
    const reused = usage.prompt_tokens_details?.cached_tokens ?? 0;
    set("reused", `${reused} of ${usage.prompt_tokens} remembered`);
  };
}

/** Show the server's state now and then, while the page is looked at. */
export async function watch() {
  for (;;) {
    if (!document.hidden) {
      try {
        const state = await get("status");
        set("queue", `${state.running} running, ${state.waiting} waiting`);
        set("memory", `${(state.kv_bytes / 1e6).toFixed(1)} MB of keys and values`);
      } catch {
        set("queue", "the server does not answer");
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}
