"""Hostile chat templates, each rendered under a watch: an error of halfbyte's or a text, in time.

    .venv/bin/python tests/mutants/templates.py [-n 2000] [--seed 0] [FOLDER OF .jinja FILES ...]

Half are mutants of real templates, half time bombs: texts, lists and mappings that grow, and then
go through random filters, methods and operators. A worker renders them with limited memory; one
that does not answer is killed, and counts as a hang.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
REAL = HERE.parents[1] / "runtime" / "prompt" / "template" / "templates"
WORKER = HERE.with_name("template_worker.py")
PATIENCE = 30  # seconds, for the worst of machines; the budget stands for about one

_TOKEN = re.compile(r"\{[{%#]-?|-?[}%#]\}|\w+|\s+|'[^']*'|[^\w\s]")
# What a text, and anything else, goes through; what fails at once does no harm.
_OF_TEXTS = (
    "|trim |upper |lower |title |capitalize |length |list |string |first |last |int |float |sort "
    "|unique |reverse |tojson |join |escape |indent |safe |batch(3) |default('w') |replace('a',s) "
    "|replace('',s) |replace(s,'a') |indent(200,true,true) |indent(s) |join(s) |map('upper') "
    "|map('trim',s) |select('in',s) |trim(s) |format(s) |unique(true) |int(0,36) |max |min "
    ".strip(s) .lstrip(t) .rstrip(t) .strip() .find(t) .rfind(t) .rindex(t) .count(t) .split() "
    ".split(t) .rsplit(t) .rsplit(t,1) .rsplit() .rpartition(t) .partition(t) .splitlines(true) "
    ".replace(t,'bb') .replace('a',s) .replace('',s) .replace(s,t) .join(s) .join([s,s]) "
    ".startswith((s,s)) .endswith(t) .removeprefix(s) .removesuffix(t) .upper() .lower() .title() "
    ".casefold() .swapcase() .capitalize() .isalpha() .isidentifier() .istitle() .format(s,s,a=s) "
    ".format(n,n) .isupper() .isspace() |tojson(ensure_ascii=true) |count"
).split()
_OF_OTHERS = (
    "|length |list |string |first |last |sort |unique |reverse |tojson |join |items |dictsort "
    "|batch(3) |default('w') |tojson(indent=4) |join(s) |map('string') |map(attribute='a.b') "
    "|map('list') |select('odd') |reject('in',s) |selectattr('a') |sort(attribute='a,b,a,b') "
    "|batch(10**6,1) |sum |abs |round(99,'ceil') |int |float |min |max(attribute='a') "
    "|sum(start=[]) |dictsort(by='value') "
    "|tojson(sort_keys=true) |unique(attribute='a') .items() .keys() "
    ".values() .get(s) .get(n) .index(n) .count(n) .index(s)"
).split()
_OPERATORS = "+ - * / // % ** ~ == != < >= in and or".split()
_STARTS = (
    "'a'*N", "'ab'*N", "'b'+'a'*N", "'a'*N+'b'", "'é'*N", "'ßŉΣ '*N", "'a\\n'*N", "'%s'*N",
    "'%.999f'*N", "'{:999}'*N", "'{}'*N", "'&<'*N", "[0]*N", "range(N)|list", "['a'*99]*N",
    "[1,2.5,none,true]*N", "[[1],[2]]*N", "2**4000", "-7", "1e308", "{}", "{'a':{'b':1}}",
    "('a',1)",
    "[{'a':1,'b':'c'}]*N", "messages", "dict(ks)", "messages[0].content*N", "'9'*900", "(0,)*N",
    "['x'*N,'x'*N+'y','x'*N]", "'\\\\'*N", "range(N)", "'a b '*N", "'𝒂'*N",
)  # fmt: skip
# Pairs whose keys have the same hash: multiples of 2^61-1, and powers of two in its cycle.
_KEYS = (
    "{% set ns = namespace(k=[]) %}{% for i in range(M) %}"
    "{% set ns.k = ns.k + [(i*(2**61-1),i)] %}{% endfor %}{% set ks = ns.k %}"
)
_WRAPS = (
    "{{% for i in range({n}) %}}{body}{{% endfor %}}",
    (
        "{{% set ns = namespace(x=s) %}}{{% for i in range({n}) %}}{{% set s = ns.x %}}{body}"
        "{{% set ns.x = {step} %}}{{% endfor %}}"
    ),
    (
        "{{% macro m(s, d) %}}{body}{{% if d %}}{{{{ m(s, d-1) }}}}{{{{ m(s, d-1) }}}}{{% endif %}}"
        "{{% endmacro %}}{{{{ m(s, 40) }}}}"
    ),
    "{{% filter upper %}}{body}{{% endfilter %}}",
    "{{% set s %}}{body}{body}{{% endset %}}{{{{ s }}}}",
    "{{% for c in s %}}{body}{{% endfor %}}",
    "{body}",
)


@dataclass(frozen=True)
class Outcome:
    """What became of a template: `kind` is "text", a HalfbyteError's name, or a failure."""

    source: str
    kind: str
    seconds: float
    detail: str = ""

    @property
    def is_failure(self) -> bool:
        """A hang, a crash, a foreign exception, or memory that ran out."""
        return self.kind in ("hang", "crash", "foreign", "memory")


def make(seed: int, real: Sequence[str]) -> str:
    """The template of a seed."""
    chance = random.Random(seed)
    return _mutant(chance, real) if seed % 2 else _bomb(chance)


def _mutant(chance: random.Random, real: Sequence[str]) -> str:
    tokens = _TOKEN.findall(chance.choice(real))
    for _ in range(chance.choice((1, 2, 5, 20))):
        at = chance.randrange(len(tokens))
        end = at + chance.choice((1, 1, 3, 10, 50))
        change = chance.randrange(6)
        if change == 0:
            del tokens[at:end]
        elif change == 1:
            tokens[at:at] = tokens[at:end] * chance.choice((1, 2, 30))
        elif change == 2:
            tokens[at] = chance.choice(tokens)
        elif change == 3:
            tokens[at] = str(10 ** chance.randrange(12))
        elif change == 4:
            words = [i for i, token in enumerate(tokens) if token in ("trim", "strip", "tojson")]
            if words:
                step = chance.choice(_OF_TEXTS + _OF_OTHERS)
                tokens[chance.choice(words)] = re.findall(r"\w+", step)[0]
        else:
            tokens[at:at] = [f"{{{{ {_expression(chance, 2)} }}}}"]
        tokens = tokens or [""]
    return "".join(tokens)[: 1 << 17]


def _bomb(chance: random.Random) -> str:
    size = 10 ** chance.choice((1, 2, 3, 4, 5, 5, 6, 7))
    start = chance.choice(_STARTS).replace("N", str(size))
    keys = _KEYS.replace("M", str(chance.choice((10, 1000, 20000)))) if "ks" in start else ""
    steps = _OF_TEXTS if "'" in start[:2] or "content" in start else _OF_OTHERS
    body = f"{{{{ {_expression(chance, chance.choice((1, 1, 1, 2, 3)), steps)} }}}}"
    if chance.random() < 0.5:
        body = body.replace("{{", "{% set x =").replace("}}", "%}")
    wrap = chance.choice(_WRAPS)
    made = wrap.format(
        body=body, n=10 ** chance.randrange(1, 7), step=_expression(chance, 1, steps)
    )
    word = chance.choice(
        ("'a'", "s", "'ab'*99", "'a'+'b'*50000", "s[1:]", "s[:50]~'c'", "'aé'*400")
    )
    number = chance.choice((0, 7, 2.5, 2**61))
    return f"{keys}{{% set n = {number} %}}{{% set s = {start} %}}{{% set t = {word} %}}{made}"


def _expression(chance: random.Random, depth: int, steps: Sequence[str] = _OF_TEXTS) -> str:
    if depth == 0:
        return chance.choice(
            ("s",) * 9 + ("s[:n]", "n", "'a'", "[s]", "'b'~s", "{'a':s}", "i", "t")
        )
    inner = _expression(chance, depth - 1, steps)
    kind = chance.randrange(8)
    if kind < 6:
        return f"({inner}){chance.choice(steps)}"
    if kind == 6:
        other = _expression(chance, depth - 1, steps)
        return f"({inner} {chance.choice(_OPERATORS)} {other})"
    return f"({inner})[{chance.choice(('0', '-1', '::-1', '1:', '::2', 'n', 's'))}]"


def run(sources: Sequence[str], *, work: int | None = None) -> Iterator[Outcome]:
    """What becomes of templates, in order; `work` is another budget than the usual one."""
    worker: subprocess.Popen[str] | None = None
    for source in sources:
        if worker is None:
            worker = _start(work)
        assert worker.stdin and worker.stdout
        worker.stdin.write(json.dumps(source) + "\n")
        worker.stdin.flush()
        has_answered = bool(select.select([worker.stdout], [], [], PATIENCE)[0])
        answer = worker.stdout.readline() if has_answered else ""
        if answer:
            yield Outcome(source, **json.loads(answer))
            continue
        worker.kill()
        worker.communicate()
        worker = None
        yield Outcome(source, "crash" if has_answered else "hang", PATIENCE)
    if worker is not None:
        worker.communicate()


def _start(work: int | None) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), str(work or 0)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdout and worker.stdout.readline() == "ready\n"
    return worker


def read_real(folders: Sequence[Path]) -> list[str]:
    """The sources that mutants are made of."""
    return [
        path.read_text("utf-8") for folder in (folders or [REAL]) for path in
        sorted(folder.glob("*.jinja"))
    ]  # fmt: skip


def main() -> int:
    """Renders them all, and counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slowest", type=int, default=3)
    args = parser.parse_args()
    real = read_real(args.folders)
    outcomes: list[Outcome] = []
    for outcome in run([make(args.seed + i, real) for i in range(args.n)]):
        outcomes.append(outcome)
        if outcome.is_failure:
            print(f"{outcome.kind} of seed {args.seed + len(outcomes) - 1}: {outcome.detail}\n"
                  f"{outcome.source[:600]}", flush=True)  # fmt: skip
    counts: Counter[Any] = Counter(outcome.kind for outcome in outcomes)
    print(f"{len(outcomes)} templates:", ", ".join(f"{n} {kind}" for kind, n in counts.items()))
    slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)[: args.slowest]
    for outcome in slowest:
        print(f"{outcome.seconds:.2f} s ({outcome.kind}, {outcome.detail}): {outcome.source[:300]}")
    return int(any(outcome.is_failure for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
