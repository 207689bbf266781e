// Tokens with their probabilities, and what an answer cost.

import { get } from "./api.js";

const tooltip = document.getElementById("likely");
const set = (id, text) => { document.getElementById(id).textContent = text; };

/** The tokens of a completion's choice: text, log-probability, and the likeliest in its place.

Where the prompt's last word was healed, what spells the prompt again is left out. */
export function completionTokens(choice, prompt) {
  const told = choice.logprobs;
  const begin = [...prompt].length; // the server counts characters
  return (told?.tokens ?? []).map((text, i) => ({
    text: [...text].slice(Math.max(0, begin - told.text_offset[i])).join(""), whole: text,
    logprob: told.token_logprobs[i], top: Object.entries(told.top_logprobs?.[i] ?? {}),
  }));
}

/** The same of a chat's choice. */
export function chatTokens(choice) {
  return (choice.logprobs?.content ?? []).map(({ token, logprob, top_logprobs: top }) => ({
    text: token, whole: token, logprob, top: (top ?? []).map((one) => [one.token, one.logprob]),
  }));
}

const MOST_BETWEEN = 16; // characters whose tokens were not found, before one that was
const isPart = (text) => text.startsWith("bytes:") || text.includes("\ufffd"); // of a character

/** What shows an answer as it comes; a token is told before its text, or with it. */
export function shower() {
  const tokens = [];
  let element = null, rest = null, left = "", isBehind = false;
  return (where, text, more) => {
    if (where !== element) {
      element = where;
      rest = where.appendChild(document.createTextNode(left = ""));
    }
    left += text;
    tokens.push(...more.filter((token) => token.text));
    while (tokens.length) {
      const [token] = tokens, at = left.indexOf(token.text);
      if (at < 0 && !isPart(token.text) && (isBehind || token.text.startsWith(left))) break;
      tokens.shift();
      if (at < 0 || at > MOST_BETWEEN) {
        isBehind ||= isPart(token.text);
        continue;
      }
      rest.before(left.slice(0, at), shown(token));
      left = left.slice(at + token.text.length);
      isBehind = false;
    }
    rest.data = left;
  };
}

function shown({ text, whole, logprob, top }) {
  const span = document.createElement("span");
  span.className = "token";
  span.textContent = text;
  span.dataset.likely = [[whole, logprob], ...top.filter(([other]) => other !== whole)]
    .map(([one, p]) => `${percent(p)}  ${JSON.stringify(one)}`).join("\n");
  return span;
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

const LONG_S = 0.1; // what takes less comes with what the answer waited for

/** What counts an answer's tokens a second, told of each of its events. */
export function meter() {
  const begun = performance.now();
  let first = null, n = 0; // the first event's time and tokens
  return ({ usage, choices: [choice] }) => {
    const now = performance.now(), told = choice?.logprobs?.tokens ?? choice?.logprobs?.content;
    n = usage?.completion_tokens ?? n + (told?.length ?? 0);
    if (!n) return;
    first ??= { now, n };
    const seconds = (now - first.now) / 1000;
    const speed = seconds < LONG_S ? n / ((now - begun) / 1000) : (n - first.n) / seconds;
    set("speed", `${speed.toFixed(1)} tok/s`);
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
      } catch (error) {
        set("queue", error instanceof TypeError ? "the server does not answer" : error.message);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}
