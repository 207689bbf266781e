"""Fill the gap of a text: python infill.py [MODEL]."""

import sys

import halfbyte

TEXT = "from path<FILL_ME>\n\nroot = Path(__file__).parent\n"

with halfbyte.load(sys.argv[1] if len(sys.argv) > 1 else "infill-10m") as model:
    done = model.infill(TEXT, stop="\n")
    print(f"{done.text!r}, {done.finish_reason}, {done.stats.decode_tps:.0f} tokens a second")
    print(done.full_text, end="")
