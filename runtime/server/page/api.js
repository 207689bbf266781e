// What the page asks of the server: OpenAI's API, and the server's own state.

const key = () => sessionStorage.getItem("key") ?? "";

/** A request's answer; asks for a key where the server wants one. */
async function ask(path, body, signal) {
  const tried = key();
  const headers = tried ? { authorization: `Bearer ${tried}` } : {};
  if (body) headers["content-type"] = "application/json";
  const method = body ? "POST" : "GET";
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  if (answer.status === 401) {
    if (tried === key()) await askForKey(tried); // else it was given meanwhile
    return ask(path, body, signal);
  }
  if (!answer.ok) throw new Error(await reason(answer));
  return answer;
}

async function reason(answer) {
  try {
    return (await answer.json()).error.message;
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}

let asking = null; // one dialog, whoever asks
let isDeclined = false;

/** Have a key given; `tried` is one that the server does not know, if any. */
function askForKey(tried) {
  const dialog = document.getElementById("ask-key");
  const field = document.getElementById("key");
  if (isDeclined) throw new Error("This server wants a key: reload the page to give one.");
  asking ??= new Promise((resolve) => {
    document.getElementById("key-trouble").hidden = !tried;
    field.value = dialog.returnValue = "";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      isDeclined = dialog.returnValue !== "use";
      if (!isDeclined) sessionStorage.setItem("key", field.value);
      asking = null;
      resolve();
    }, { once: true });
  });
  return asking;
}

/** A JSON value of the server. */
export const get = async (path) => (await ask(path)).json();

/** The JSON values of a stream of server-sent events, as they come. */
export async function* events(path, body, signal) {
  const answer = await ask(path, { ...body, stream: true, stream_options: { include_usage: true } }, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (left + value).split("\n\n");
      left = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").find((line) => line.startsWith("data: "))?.slice(6);
        if (!data || data === "[DONE]") continue;
        const event = JSON.parse(data);
        if (event.error) throw new Error(event.error.message);
        yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
