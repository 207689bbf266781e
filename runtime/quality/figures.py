"""What a conversion measured, as metadata of the file it made.

The figures are known when the tensors are written, behind the header. So `reserve` puts blanks of
the right size into the header, and `patch` fills them in place, before the file gets its name.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import field, fields, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGUFValueType

from halfbyte.errors import ConversionError, ModelFileError
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata
from halfbyte.gguf.read_ahead import pieces, read_ahead
from halfbyte.lazy_dataclass import dataclass
from halfbyte.progress import Progress, silent
from halfbyte.quality.distance import Quality, measure
from halfbyte.quality.layer_source import GGUFSource, LayerSource
from halfbyte.quality.texts import N_WINDOW, packaged_text, token_windows
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.vocabulary import Vocabulary

N_GOLDEN = 32
NO_HASH = "0" * 64
NO_TOKEN = -1

_OWN = ("tokenizer_sha256", "tensors_sha256")  # known without the source and the engine
_NAN = float("nan")
# What the annotation of a figure means in a file: the type of its value, and of an array's numbers.
_Kind = tuple[GGUFValueType, GGUFValueType | None]
_KINDS: dict[str, _Kind] = {
    "str": (GGUFValueType.STRING, None),
    "int": (GGUFValueType.UINT32, None),
    "float": (GGUFValueType.FLOAT32, None),
    "tuple[float, ...]": (GGUFValueType.ARRAY, GGUFValueType.FLOAT32),
    "tuple[int, ...]": (GGUFValueType.ARRAY, GGUFValueType.INT32),
}


def _figure(key: str, default: object) -> Any:
    """A figure that a file has as halfbyte.`key`."""
    return field(default=default, metadata={"key": f"halfbyte.{key}"})


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one file, with their keys; a default stands for what was not measured."""

    # Of what was converted, of the vocabulary, of the tensors' bytes: see the functions so named.
    source_sha256: str = _figure("source.sha256", NO_HASH)
    tokenizer_sha256: str = _figure("tokenizer.sha256", NO_HASH)
    tensors_sha256: str = _figure("tensors.sha256", NO_HASH)
    # The text that quality was measured on, and how many of its tokens were compared.
    text_sha256: str = _figure("quality.text_sha256", NO_HASH)
    n_positions: int = _figure("quality.n_positions", 0)
    # KL(source || file) in nats, float arithmetic: the weights alone; its 99th percentile.
    kl_mean: float = _figure("quality.kl_mean", _NAN)
    kl_p99: float = _figure("quality.kl_p99", _NAN)
    # The share of positions with the source's most likely token.
    top1: float = _figure("quality.top1", _NAN)
    perplexity: float = _figure("quality.perplexity", _NAN)
    perplexity_source: float = _figure("quality.perplexity_source", _NAN)
    # The relative error of each tensor, in the file's order.
    tensor_errors: tuple[float, ...] = _figure("quality.tensor_errors", ())
    # Greedy tokens, and the least lead of one of them over the second, in logits: see golden.py.
    golden_tokens: tuple[int, ...] = _figure("golden.tokens", (NO_TOKEN,) * N_GOLDEN)
    golden_margin: float = _figure("golden.margin", _NAN)

    def with_quality(self, quality: Quality, text: str, names: Sequence[str]) -> Figures:
        """With what was measured on a text; `names` are the file's tensors in order."""
        found = quality.distance
        perplexity_source, perplexity = found.perplexities
        return replace(
            self,
            text_sha256=hashlib.sha256(text.encode()).hexdigest(),
            n_positions=found.kl.size,
            kl_mean=found.mean_kl,
            kl_p99=found.p99_kl,
            top1=found.top1,
            perplexity=perplexity,
            perplexity_source=perplexity_source,
            tensor_errors=tuple(quality.errors.get(name, _NAN) for name in names),
        )


FIGURE_KEYS = tuple(str(figure.metadata["key"]) for figure in fields(Figures))


def measured_figures(
    file: GGUFFile,
    source: LayerSource,
    *,
    source_sha256: str = NO_HASH,
    tensors_sha256: str | None = None,
    max_windows: int | None = None,
    progress: Progress = silent,
) -> Figures:
    """All figures of a file but the golden continuation, which takes the engine.

    Args:
        file: the result, all its tensors written.
        source: what it was made from.
        source_sha256: see the function of this name.
        tensors_sha256: the same; None has it computed.
        max_windows: of the held-out text, 512 tokens each; None: all.
        progress: see `measure`.
    """
    config, tokenizer = config_from_gguf(file), Tokenizer.from_gguf(file)
    text = packaged_text("heldout")
    n_window = min(N_WINDOW, config.n_ctx_train)
    ids = token_windows(tokenizer, text, n_window, max_windows=max_windows)
    quality = measure(source, GGUFSource(file, config), ids, progress=progress)
    found = replace(checksums(file, tensors_sha256), source_sha256=source_sha256)
    return found.with_quality(quality, text, list(file.tensors))


def checksums(file: GGUFFile, tensors: str | None = None) -> Figures:
    """What can be said of a file without its source: the hashes of its parts.

    `tensors` is `tensors_sha256` where it is known.
    """
    return Figures(
        tokenizer_sha256=tokenizer_sha256(Vocabulary.from_metadata(file.metadata)),
        tensors_sha256=tensors or tensors_sha256(file),
    )


def reserve(meta: gguf.GGUFWriter, n_tensors: int, *, measured: bool = True) -> None:
    """Put blanks for the figures of a file of so many tensors into its metadata.

    Only its own checksums are known of a file that is not `measured`.
    """
    blank = Figures(tensor_errors=(_NAN,) * n_tensors)
    for name, key, kind in _layout(measured):
        meta.add_key_value(key, getattr(blank, name), *kind)


def patch(path: str | os.PathLike[str], figures: Figures, *, measured: bool = True) -> None:
    """Fill in the blanks that `reserve` left.

    Raises:
        ConversionError: the file has no such blank, or one of another size.
    """
    with GGUFFile.open(path) as written:
        n_header = min(tensor.offset for tensor in written.tensors.values())
    with open(path, "r+b") as file:
        header = file.read(n_header)
        for name, key, kind in _layout(measured):
            head, value = _packed(key, kind, getattr(figures, name))
            at = header.find(head)
            if at < 0:
                raise ConversionError(path, key, expected="a reserved key of its size")
            file.seek(at + len(head))
            file.write(value)


def read_figures(metadata: Metadata) -> Figures | None:
    """The figures that a file carries, defaults for what was not measured; None without any.

    Raises:
        ModelFileError: a checksum is missing, or one is of another type.
    """
    if "halfbyte.tensors.sha256" not in metadata:
        return None
    found: dict[str, object] = {}
    for name, key, (kind, element) in _layout(measured=True):
        if name not in _OWN and key not in metadata:
            continue
        if element is not None:
            floats = element == GGUFValueType.FLOAT32
            found[name] = tuple(metadata.get_numbers(key, floats=floats).tolist())
        elif kind == GGUFValueType.STRING:
            found[name] = metadata.get_str(key)
        elif kind == GGUFValueType.UINT32:
            found[name] = metadata.get_int(key)
        else:  # `get_float` refuses NaN
            found[name] = metadata.raw(key).value
            if not isinstance(found[name], float):
                raise ModelFileError(
                    metadata.path, key, expected="a floating-point number", got=found[name]
                )
    return Figures(**found)  # type: ignore[arg-type]


def _layout(measured: bool) -> Iterator[tuple[str, str, _Kind]]:
    """Attribute, key and kind of each figure of a file that is measured, or is not."""
    for figure in fields(Figures):
        if measured or figure.name in _OWN:
            yield figure.name, figure.metadata["key"], _KINDS[str(figure.type)]


def source_sha256(files: Sequence[Path]) -> str:
    """SHA-256 over the names and the SHA-256 of files, by name: config, tokenizer, weights."""
    total = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        total.update(f"{path.name}\0{digest.hexdigest()}\n".encode())
    return total.hexdigest()


# What few vocabularies have.
_RARE = (
    "remove_extra_whitespaces", "normalization_rule", "spacing", "added", "normalizer",
    "ignore_merges", "flags",
)  # fmt: skip


def tokenizer_sha256(v: Vocabulary) -> str:
    """SHA-256 over all that turns text into ids: pieces, scores, types, merges, special ids."""
    digest = hashlib.sha256()

    def add(label: str, value: bytes) -> None:
        digest.update(f"{label} {len(value)}\n".encode() + value)

    add("model", f"{v.model} {v.pre} {v.add_space_prefix} {v.add_bos}".encode())
    for label, texts in (("piece", v.pieces), ("merge", v.merges)):
        for text in texts:
            add(label, text)
    add("scores", np.asarray(v.scores, "<f4").tobytes())
    add("types", np.asarray(v.types, "<i4").tobytes())
    add("special", " ".join(f"{role}={i}" for role, i in sorted(v.special.items())).encode())
    usual = Vocabulary(v.path, v.model, [], [], [])
    rare = {name: value for name in _RARE if (value := getattr(v, name)) != getattr(usual, name)}
    if rare:
        add("rare", repr(sorted(rare.items())).encode())
    return digest.hexdigest()


def tensor_line(name: str, type_name: str, shape: tuple[int, ...]) -> bytes:
    """What a checksum over tensors has before each one's bytes."""
    return f"{name} {type_name} {shape}\n".encode()


def tensors_sha256(file: GGUFFile) -> str:
    """SHA-256 over each tensor's name, type, shape and bytes, in the file's order."""
    digest = hashlib.sha256()
    for info in file.tensors.values():
        digest.update(tensor_line(info.name, info.type_name, info.shape))
        with closing(read_ahead(pieces(info))) as read:
            for _, data in read:
                digest.update(data.data)
    return digest.hexdigest()


def _packed(key: str, kind: _Kind, value: Any) -> tuple[bytes, bytes]:
    """A key-value pair as GGUF writes it: what comes before the value, and the value."""
    type_id, element = kind
    head = struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", type_id)
    if type_id == GGUFValueType.STRING:
        return head + struct.pack("<Q", len(value)), value.encode()
    if element is not None:
        head += struct.pack("<IQ", element, len(value))
        return head, np.array(value, "<f4" if element == GGUFValueType.FLOAT32 else "<i4").tobytes()
    return head, struct.pack("<f" if type_id == GGUFValueType.FLOAT32 else "<I", value)
