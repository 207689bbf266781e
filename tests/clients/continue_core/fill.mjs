// What Continue's core asks of Ollama's servers for a gap: node fill.cjs URL MODEL BEFORE BEHIND
// prints the text, as JSON. It is bundled with esbuild first, since its packages need bundling.
import Ollama from "@continuedev/core/dist/llm/llms/Ollama.js";

const [url, model, before, behind] = process.argv.slice(2);

async function fill() {
  const llm = new Ollama({ model, apiBase: url });
  const options = { model, maxTokens: 12, temperature: 0 };
  const { signal } = new AbortController();
  let text = "";
  for await (const piece of llm.streamFim(before, behind, signal, options)) text += piece;
  console.log(JSON.stringify(text));
}

fill();
