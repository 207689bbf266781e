"""Write tests/data/golden_cuts.json: where llama.cpp cuts texts, by the name of a pre-tokenizer.

    .venv/bin/python benchmarks/make_cuts_golden.py LLAMA_CPP

LLAMA_CPP is a folder of its sources. Names, habits and regular expressions are read out of
src/llama-vocab.cpp; src/unicode.cpp is compiled and cuts the texts. Its regular expressions stand
in for those of the families' own files. Where these, as comments state them or else the same ones
read by the `tokenizers` package, cut a text otherwise, that is written too: it is what the model
was trained with.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import Regex, pre_tokenizers

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden_cuts.json"
TEXTS = [
    "It's I'LL we'Ve 'TIS don'T x'S 'd ENDE'nin 'M'RE",
    "ÉCOLE élève ÉÀb aÉ HTTPServer camelCaseWord ǅungla ΣΊΣΥΦΟΣ Жизнь İstanbul'da ſ",
    "1 12 123 1234 12345 1234567 1234567890 x1234y ²³ ½ Ⅷ 1,234.56 v2.10",
    "a  12   3456 \t7",
    "٣٤٥٦ १२३४५ 12٣٤ ⁰₁ª º",
    "\r\n\r\n a\r\n\t b \n\n\n  c   d\u00a0e \u3000 f\u3000g\u2028h ",
    "a/b//c\n/\n\n!!\r\n??? ...\n x :/\n",
    "漢字かなカナ 한국어 ㄱㄴ 漢a字 中文，标点。「」 ㄅㄆ ＦＵＬＬ１２３！？ 𠀋々",
    "ไทย ລາວ ខ្មែរ မြန်မာ ꩠ ﾊﾝ ᄀᄁ 豈 ⼀",
    "e\u0301 a\u0308B re\u0301sume\u0301 \u0301x नमस्ते हिन्दी বাংলা తెలుగు",
    "😀👨\u200d👩\u200d👧 ❤\ufe0f ™ € ¥ ∑∫ «q» “q” ‘q’ —–… ¿¡ a\u200bb\ufeffc",
    '`code` ~tilde~ ^x^ a|b $5 <tag> {x} [y] \\n _z_ #h @m %p &a *b* +c =d; "e" !A (c .e',
    "<sentinel:123> IMGIMGABCDZ IMGIMGAZ    four  two\tt      six",
    "def f(x):\n    if x == 10:\n        return 'a'\n\n\n# end\n",
    "trailing   ",
    "   leading",
    "\t\t\tx\n \n  \n\x00\x01\x7f",
    "x" + " " * 9 + "y" + " " * 600 + "z",
    *("\n", "\r", " ", "  ", "a", "7", "!", "'s"),
]
# Types that say nothing of their own about where their regular expressions come from.
SAME_AS = {"GRANITE_EMB_MULTI": "GPT4O"}
# Code in place of an expression, which leaves what stands before digits with their first group.
AFMOE_DIGITS = r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"
DRIVER = r"""
#include "unicode.h"
#include <cstdint>
#include <cstdio>
static bool next(std::string & s) {
    uint32_t n;
    if (fread(&n, 4, 1, stdin) != 1) return false;
    s.resize(n);
    return n == 0 || fread(&s[0], 1, n, stdin) == n;
}
int main() {
    std::string s;
    next(s);
    std::vector<std::string> patterns(std::stoul(s));
    for (auto & pattern : patterns) next(pattern);
    while (next(s)) {
        for (auto & part : unicode_regex_split(s, patterns, false))
            if (!part.empty()) printf("%zu ", unicode_cpts_from_utf8(part).size());
        printf("\n");
    }
}
"""
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def _strings(line: str) -> list[str]:
    """The values of a line's C++ string literals."""
    found = (match[1] for match in _STRING.finditer(line))
    return [re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text) for text in found]


def _patterns(source: str) -> dict[str, tuple[list[str], list[str]]]:
    """Type -> its regular expressions, and the original ones, as far as a comment states them."""
    body = source[source.index("switch (vocab.get_pre_type())") :]
    body = body[: body.index("std::vector<std::string> regex_exprs;")]
    found: dict[str, tuple[list[str], list[str]]] = {}
    for block in body.split("break;"):
        types = re.findall(r"case LLAMA_VOCAB_PRE_TYPE_(\w+):", block)
        types += ["DEFAULT"] if "default:" in block else []
        used: list[str] = []
        original: list[str] = []
        for line in map(str.strip, block.splitlines()):
            if line.startswith("//"):
                original += _strings(line)
            elif line.startswith('"'):
                used += _strings(line)[:1]
        found |= dict.fromkeys(types, (used, original))
    return found


def _names(source: str) -> dict[str, dict[str, object]]:
    """Name -> its type and what files of that name need not state."""
    body = source[source.index("if (tokenizer_pre.empty())") :]
    body = body[: body.index("unknown pre-tokenizer type")]
    found: dict[str, dict[str, object]] = {}
    for block in re.split(r"\} else if \(", body)[1:]:
        match = re.search(r"pre_type = LLAMA_VOCAB_PRE_TYPE_(\w+);", block)
        assert match is not None, block
        habits = {
            habit: re.search(rf"{habit}\s*= true;", block) is not None
            for habit in ("ignore_merges", "add_bos", "escape_whitespaces")
        }
        for name in re.findall(r'tokenizer_pre == "([^"]+)"', block):
            found[name] = {"type": match[1], **habits}
    return found


def _peer(sources: Path, folder: Path) -> Path:
    driver, program = folder / "driver.cpp", folder / "driver"
    driver.write_text(DRIVER)
    units = [driver, sources / "unicode.cpp", sources / "unicode-data.cpp"]
    subprocess.run(["g++", "-O1", "-std=c++17", f"-I{sources}", *units, "-o", program], check=True)
    return program


def _cut_by_peer(program: Path, patterns: list[str]) -> list[list[int]]:
    encoded = (text.encode() for text in (str(len(patterns)), *patterns, *TEXTS))
    data = b"".join(struct.pack("<I", len(text)) + text for text in encoded)
    done = subprocess.run([program], input=data, check=True, stdout=subprocess.PIPE)
    return [[int(n) for n in line.split()] for line in done.stdout.decode().splitlines()]


def _cut(patterns: list[str]) -> list[list[int]]:
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    cutter = pre_tokenizers.Sequence(cuts)
    return [[len(part) for part, _ in cutter.pre_tokenize_str(text)] for text in TEXTS]


def main() -> None:
    """Make the file."""
    sources = Path(sys.argv[1]) / "src"
    source = (sources / "llama-vocab.cpp").read_text("utf-8")
    patterns, names = _patterns(source), _names(source)
    kimi = re.search(r"^// (\[\\p\{Han\}\].+)$", (sources / "unicode.cpp").read_text("utf-8"), re.M)
    assert kimi is not None
    patterns["KIMI_K2"] = (patterns["KIMI_K2"][0], [kimi[1]])
    cuts: dict[str, list[list[int]]] = {}
    originals: dict[str, dict[int, list[int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        program = _peer(sources, Path(folder))
        for name in sorted({str(habits["type"]) for habits in names.values()}):
            used = patterns[name][0]
            cuts[name] = _cut_by_peer(program, used)
            used = [AFMOE_DIGITS if "AFMoE" in pattern else pattern for pattern in used]
            original = patterns[SAME_AS.get(name, name)][1]
            theirs = _cut([*used[: len(used) - len(original)], *original])
            differs = {i: t for i, t in enumerate(theirs) if t != cuts[name][i]}
            originals |= {name: differs} if differs else {}
    data = {"names": names, "texts": TEXTS, "lengths": cuts, "original_lengths": originals}
    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in data.items())
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
