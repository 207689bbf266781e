"""Renders the templates that come in, a JSON text a line, and says what became of each.

Its memory is limited to a gigabyte beyond what it begins with: a rendering's budget is 96 MB.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from halfbyte.errors import HalfbyteError
from halfbyte.prompt.template import ChatTemplate, chat_template
from halfbyte.prompt.template.budget import Budget

ROOM = 1 << 30
CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
MESSAGES = [
    {"role": "system", "content": "Be <brief>."},
    {"role": "user", "content": "Aß é \U0001d482\n" * 20},
    {"role": "assistant", "content": "b", "tool_calls": [CALL]},
    {"role": "tool", "content": "c"},
    {"role": "user", "content": "<|im_end|>"},
]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def _become(source: str) -> tuple[str, str]:
    """Kind and detail of an outcome."""
    try:
        text = ChatTemplate(source).render(MESSAGES, bos_token="<s>", eos_token="</s>", tools=TOOLS)
        return "text", f"{len(text)} characters"
    except HalfbyteError as error:
        kind = "memory" if "MemoryError" in str(error) else type(error).__name__
        return kind, str(error)[:200]
    except BaseException as error:
        return "foreign", f"{type(error).__name__}: {error}"[:200]


def main() -> None:
    """Until there are no more."""
    work = int(sys.argv[1])
    if work:
        chat_template.WORK = work
    budgets: list[Budget] = []
    begin = Budget.__init__

    def remember(self: Budget, units: int) -> None:
        begin(self, units)
        budgets[:] = [self]
        totals[:] = [units]

    totals: list[int] = [0]
    Budget.__init__ = remember  # type: ignore[method-assign]
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    print("ready", flush=True)
    for line in sys.stdin:
        begun = time.process_time()
        kind, detail = _become(json.loads(line))
        seconds = time.process_time() - begun
        spent = totals[0] - max(budgets[0]._left, 0)
        answer = {"kind": kind, "detail": f"{spent} units, {detail}", "seconds": seconds}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
