"""How long a server's other clients wait while one sends it bodies that are made to take long.

    python benchmarks/server_stalls.py [MODEL] [--kinds NAME ...]

A stream's pieces are read, and `/health` is asked, while each body is sent to each route; printed
are the longest time without an answer of `/health` and what the body got.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx

_SIZE = 8_000_000
_VALUES, _PARTS = 249_000, 49_900  # just below what a body may have


def _repeated(part: str, end: str = "") -> str:
    n_parts = part.count(":") + part.count("{")
    n = min(_SIZE // (len(part) + 1), _VALUES, (_PARTS - 20) // max(n_parts, 1))
    return ",".join([part] * n) + end


def bodies() -> Iterator[tuple[str, str, str]]:
    """Name, route and body of each request."""
    text = json.dumps("def f(x):\n    return x\n" * (_SIZE // 26))
    ids, words = _repeated("1000"), _repeated('"ab"')
    turns = _repeated('{"role":"user","content":"a"}')
    others = _repeated('{"role":"user","content":"a"},{"role":"assistant","content":"b"}')
    keys = ",".join(f'"k{i}":1' for i in range(_PARTS - 20))
    chat = '"messages":[{"role":"user","content":"a"}],"max_tokens":1'
    tools = _repeated('{"type":"function","function":{"name":"a"}}')
    for route in ("/v1/completions", "/completion", "/api/generate"):
        yield "text", route, f'{{"prompt":{text}}}'
        yield "ids", route, f'{{"prompt":[{ids}]}}'
        yield "words", route, f'{{"prompt":[{words}]}}'
        yield "keys", route, f'{{"prompt":"a","max_tokens":1,{keys}}}'
        yield "stop", route, f'{{"prompt":"a","max_tokens":1,"stop":[{words}]}}'
    for route in ("/v1/chat/completions", "/api/chat", "/v1/messages", "/apply-template"):
        yield "turns", route, f'{{"max_tokens":1,"messages":[{turns}]}}'
        yield "dialogue", route, f'{{"max_tokens":1,"messages":[{others}]}}'
        yield "text", route, f'{{"max_tokens":1,"messages":[{{"role":"user","content":{text}}}]}}'
        yield "tools", route, f'{{{chat},"tools":[{tools}]}}'
        yield "schema", route, f'{{{chat},"response_format":{{"a":{{{keys}}}}}}}'
    yield "items", "/v1/responses", f'{{"max_output_tokens":16,"input":[{turns}]}}'
    yield "text", "/v1/responses", f'{{"max_output_tokens":16,"input":{text}}}'
    yield "biases", "/v1/chat/completions", f'{{{chat},"logit_bias":{{{keys}}}}}'
    yield "biases", "/completion", f'{{"prompt":"a","n_predict":1,"logit_bias":[{ids}]}}'
    yield "files", "/infill", f'{{"n_predict":1,"input_extra":[{_repeated("{}")}]}}'
    yield "text", "/infill", f'{{"n_predict":1,"input_prefix":{text},"input_suffix":{text[:9]}"}}'
    yield "history", "/v1/edit", f'{{"text":"a","cursor":0,"history":[{turns}]}}'
    for route, name in (("/tokenize", "content"), ("/v1/embeddings", "input")):
        yield "text", route, f'{{"{name}":{text}}}'
        yield "words", route, f'{{"{name}":[{words}]}}'
    yield "ids", "/detokenize", f'{{"tokens":[{ids}]}}'


def main() -> None:
    """Print a line for each body."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="smollm2-135m")
    parser.add_argument("--kinds", nargs="*")
    asked = parser.parse_args()
    command = [sys.executable, "-m", "halfbyte", "serve", "-m", asked.model, "--port", "0"]
    command += ["--log-format", "off"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        url = next(m[1] for line in server.stderr if (m := re.search(r"ready: (\S+)", line)))
        threading.Thread(target=server.stderr.read, daemon=True).start()
        try:
            for name, route, body in bodies():
                if not asked.kinds or name in asked.kinds:
                    print(f"{route:<22}{name:<10}{_measured(url, route, body)}", flush=True)
        finally:
            server.terminate()


def _measured(url: str, route: str, body: str) -> str:
    got: list[str] = []

    def send() -> None:
        begun_s = time.perf_counter()
        try:
            answer = httpx.post(url + route, content=body, timeout=60, trust_env=False)
            said = answer.text[:110].replace("\n", " ")
            got.append(f"{answer.status_code} in {time.perf_counter() - begun_s:5.1f} s {said}")
        except httpx.HTTPError as error:
            got.append(f"{error!r} after {time.perf_counter() - begun_s:.1f} s")

    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        client.get("/health")
        sending = threading.Thread(target=send)
        sending.start()
        longest_s = 0.0
        while sending.is_alive():
            begun_s = time.perf_counter()
            client.get("/health")
            longest_s = max(longest_s, time.perf_counter() - begun_s)
            time.sleep(0.002)
    return f"{longest_s * 1e3:6.0f} ms  {got[0]}"


if __name__ == "__main__":
    main()
