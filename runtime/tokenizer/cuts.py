"""The regular expressions that cut text before byte-level vocabularies merge.

They are those of the families' own tokenizer files, in Oniguruma's syntax, as `tokenizers` reads
them. llama.cpp's stand in for the ones that are known from nowhere else.
"""

from __future__ import annotations


def _any(*ways: str) -> str:
    return "|".join(ways)


def _by_case(ends: str, digits: str, signs: str, others: str = "") -> str:
    """Words end where lower case turns into upper case; `others` narrows what is a letter."""
    upper, lower = (f"[{cased}{_CASELESS}{others}]" for cased in (r"\p{Lu}\p{Lt}", r"\p{Ll}"))
    first = r"[^\r\n\p{L}\p{N}]?"
    words = (f"{first}{upper}*{lower}+{ends}", f"{first}{upper}+{lower}*{ends}")
    return _any(*words, digits, signs, _LINES, _SPACES)


_SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # short forms of is, not, are, have, am, will, would
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_SIGNS_OR_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_LINES = r"\s*[\r\n]+"
_SPACES = r"\s+(?!\S)|\s+"
_CASELESS = r"\p{Lm}\p{Lo}\p{M}"
_ASCII_WORD = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
_MARKED_WORD = r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"

DIGIT = r"\p{N}"
_TRIPLE = r"\p{N}{1,3}"
# Of 1234567, 1 and 234 and 567.
_TRIPLES_FROM_THE_END = r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"
_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_HANGUL = "[\uac00-\ud7a3\u3131-\u318e]+"
_CJK_SIGNS = (
    "[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+"
)
_KANJI_OR_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_ASIAN = (
    "[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f"
    "\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+"
)
# The letters that have an upper and a lower case, as one tokenizer file lists them.
_CASED = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-"
    "\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-"
    "\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-"
    "\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc"
    "\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-"
    "\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-"
    "\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-"
    "\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-"
    "\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-"
    "\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-"
    "\U000118df\U0001e900-\U0001e943"
)

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_QWEN2 = _any(_SHORT, _WORD, DIGIT, _SIGNS, _LINES, _SPACES)
_GPT4O = _by_case(f"{_SHORT}?", _TRIPLE, _SIGNS_OR_SLASH)
_BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
_DEEPSEEK3 = _any(_ASCII_WORD, _MARKED_WORD, r" ?[\p{P}\p{S}]+[\r\n]*", _LINES, _SPACES)

# One name of those that cut alike -> patterns, each applied to all the parts that the ones before
# left.
CUTS: dict[str, tuple[str, ...]] = {
    "gpt-2": (GPT2,),
    "default": (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    "falcon": (r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"),
    "smollm": (DIGIT, GPT2),
    "chameleon": (
        "<sentinel:[0-9]+>",
        "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
        r"([\t\n]|    |  )",
        DIGIT,
        r"[\p{P}!-/:-@\[-`{-~]",
        GPT2,
    ),
    "bloom": (_BLOOM,),
    "viking": (_BLOOM, DIGIT),
    "llama-bpe": (_any(_SHORT, _WORD, _TRIPLE, _SIGNS, _LINES, _SPACES),),
    "minicpm5": (_TRIPLE, _any(_SHORT, _WORD, r"\p{N}+", _SIGNS, _LINES, _SPACES)),
    "jais-2": (
        _any(
            *(_SHORT, _WORD, _TRIPLE, _SIGNS, _LINES),
            *(rf"\s{{{2**i}}}(?!\S)" for i in range(9, 1, -1)),
            *(r"\s{1,2}(?!\S)", r"\s{1}"),
        ),
    ),
    "qwen2": (_QWEN2,),
    "laguna": (r"[^\n]+|[\n]+", _QWEN2),
    "ufakzeka": (_any(_WORD, DIGIT, _SIGNS, _LINES, _SPACES),),
    "qwen35": (
        _any(
            *(_SHORT, r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+", DIGIT),
            *(r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", _LINES, _SPACES),
        ),
    ),
    "seed-coder": (_any(_SHORT, _WORD, r"\p{N}{1}", r" ?[^\s\p{L}\p{N}\r\n]+", _LINES, _SPACES),),
    "bailingmoe": (
        _any(
            *("'(?i:[sdmt]|ll|ve|re)", r"[^\r\n\p{L}\p{N}]?+\p{L}+", DIGIT),
            *(r" ?[^\s\p{L}\p{N}]++[\r\n]*", r"\s*[\r\n]", _SPACES),
        ),
    ),
    "exaone-moe": (
        _any(
            *(_SHORT, r"[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+", DIGIT),
            *(r" ?[^\s\p{L}\p{N}]+[\r\n/]?", r"\s*[\r\n]", _SPACES),
        ),
    ),
    "tekken": (_by_case("", DIGIT, _SIGNS_OR_SLASH),),
    "gpt-4o": (_GPT4O,),
    "tiny_aya": (r"\d{1,3}(?=(?:\d{3})*\b)", _GPT4O),
    "youtu": (
        _any(_HANGUL, _CJK_SIGNS, "[\u3105-\u312f]+", _KANJI_OR_KANA),
        _by_case(f"{_SHORT}?", DIGIT, _SIGNS_OR_SLASH),
    ),
    "kimi-k2": (_any(r"[\p{Han}]+", _by_case(f"{_SHORT}?", _TRIPLE, _SIGNS, r"&&[^\p{Han}]")),),
    "superbpe": (r"\p{N}+", r"(?=(\d{3})+(?!\d))"),
    "deepseek-llm": (
        r"[\r\n]",
        rf"\s?[{_CASED}]+",
        "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
        r"\s+$",
        _CJK,
        r"\p{N}+",
    ),
    "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, DIGIT),
    "deepseek-v3": (_TRIPLE, _KANJI_OR_KANA, _DEEPSEEK3),
    "spark2_5": (
        _TRIPLE,
        _KANJI_OR_KANA,
        _any(_ASCII_WORD, _MARKED_WORD, r" ?[\p{P}\p{S}]+", r"[\r\n]", _SPACES),
        DIGIT,
    ),
    "afmoe": (_TRIPLES_FROM_THE_END, _ASIAN, _DEEPSEEK3),
}
