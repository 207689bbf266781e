"""Read facts out of a text as JSON that meets a schema: python json_extraction.py [MODEL]."""

import json
import sys

import halfbyte

TEXT = "On 3 May 1952 the first jet airliner flew from London to Johannesburg with 36 passengers."
SCHEMA = {
    "type": "object",
    "properties": {
        "year": {"type": "integer", "minimum": 1900, "maximum": 1999},
        "from": {"type": "string", "maxLength": 20},
        "to": {"type": "string", "maxLength": 20},
        "passengers": {"type": "integer", "minimum": 0, "maximum": 999},
    },
    "required": ["year", "from", "to", "passengers"],
    "additionalProperties": False,
}

with halfbyte.load(sys.argv[1] if len(sys.argv) > 1 else "infill-10m") as model:
    prompt = f'text = "{TEXT}"\nassert facts(text) == '
    done = model.complete(prompt, json_schema=SCHEMA, max_tokens=96)
    if done.is_complete:  # else it was cut, at max_tokens or at the end of the context
        for name, value in json.loads(done.text).items():
            print(f"{name}: {value!r}")
    else:
        print(f"cut ({done.finish_reason}): {done.text}")
