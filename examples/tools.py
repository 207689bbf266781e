"""Let a model call a function of this program: python tools.py [MODEL].

The packaged model knows nothing of weather; its call is well-formed all the same, by a grammar that
is made from the schema (pip install 'halfbyte[grammar]').
"""

import json
import sys

import halfbyte

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"enum": ["Rome", "Paris"]},
                    "days": {"type": "integer", "minimum": 1, "maximum": 7},
                },
                "required": ["city", "days"],
            },
        },
    }
]


def weather(city: str, days: int) -> dict[str, str]:
    """What a real program would ask somebody for."""
    return {day: f"rain in {city}" for day in ("Monday", "Tuesday", "Wednesday")[:days]}


name = sys.argv[1] if len(sys.argv) > 1 else "infill-10m"
how = {"format": "llama-2"} if name == "infill-10m" else {}  # a base model has no chat template
messages = [{"role": "user", "content": "What will the weather be like in Rome tomorrow?"}]
with halfbyte.load(name) as model:
    done = model.chat(messages, tools=TOOLS, tool_choice="weather", temperature=0, **how)
    messages.append(done.message)
    for call in done.tool_calls:
        result = weather(**call.arguments)
        print(f"{call.name}({call.arguments}) -> {result}")
        content = json.dumps(result)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    for part in model.stream_chat(messages, max_tokens=20, temperature=0, **how).parts():
        print(part.kind, repr(part.text))
