"""What a conversion measured, as metadata of the file it made.

The figures are known when the tensors are written, behind the header. So `reserve` puts blanks of
the right size into the header, and `patch` fills them in place, before the file gets its name.

    halfbyte.source.sha256            of what was converted, see `source_sha256`
    halfbyte.tokenizer.sha256         of the vocabulary, see `tokenizer_sha256`
    halfbyte.tensors.sha256           of the tensors' bytes, see `tensors_sha256`
    halfbyte.quality.text_sha256      of the text that quality was measured on
    halfbyte.quality.n_positions      tokens of it that were compared
    halfbyte.quality.kl_mean          KL(source || file), nats, float arithmetic: the weights alone
    halfbyte.quality.kl_p99           its 99th percentile
    halfbyte.quality.top1             share of positions with the source's most likely token
    halfbyte.quality.perplexity       of the file
    halfbyte.quality.perplexity_source
    halfbyte.quality.tensor_errors    relative error of each tensor, in the file's order
    halfbyte.golden.tokens            32 greedy tokens, see runtime's golden.py
    halfbyte.golden.margin            least lead of one of them over the second, in logits
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np

from halfbyte.errors import ConversionError, ModelFileError
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata
from halfbyte.quality.distance import Quality, measure
from halfbyte.quality.float_model import GGUFSource, LayerSource
from halfbyte.quality.texts import N_WINDOW, packaged_text, token_windows
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.vocabulary import Vocabulary

N_GOLDEN = 32
NO_HASH = "0" * 64
NO_TOKEN = -1

_U32, _F32, _STRING, _ARRAY, _I32 = 4, 6, 8, 9, 5
# Attribute -> key without "halfbyte.", GGUF type.
_KEYS = {
    "source_sha256": ("source.sha256", _STRING),
    "tokenizer_sha256": ("tokenizer.sha256", _STRING),
    "tensors_sha256": ("tensors.sha256", _STRING),
    "text_sha256": ("quality.text_sha256", _STRING),
    "n_positions": ("quality.n_positions", _U32),
    "kl_mean": ("quality.kl_mean", _F32),
    "kl_p99": ("quality.kl_p99", _F32),
    "top1": ("quality.top1", _F32),
    "perplexity": ("quality.perplexity", _F32),
    "perplexity_source": ("quality.perplexity_source", _F32),
    "tensor_errors": ("quality.tensor_errors", _ARRAY),
    "golden_tokens": ("golden.tokens", _ARRAY),
    "golden_margin": ("golden.margin", _F32),
}
_OWN = ("tokenizer_sha256", "tensors_sha256")  # known without the source and the engine
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one file; a default stands for what was not measured."""

    source_sha256: str = NO_HASH
    tokenizer_sha256: str = NO_HASH
    tensors_sha256: str = NO_HASH
    text_sha256: str = NO_HASH
    n_positions: int = 0
    kl_mean: float = _NAN
    kl_p99: float = _NAN
    top1: float = _NAN
    perplexity: float = _NAN
    perplexity_source: float = _NAN
    tensor_errors: tuple[float, ...] = ()
    golden_tokens: tuple[int, ...] = (NO_TOKEN,) * N_GOLDEN
    golden_margin: float = _NAN

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


def measured_figures(
    file: GGUFFile,
    source: LayerSource,
    *,
    source_sha256: str = NO_HASH,
    tensors_sha256: str | None = None,
    max_windows: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
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
    for name, (key, kind) in _KEYS.items():
        if not measured and name not in _OWN:
            continue
        value = getattr(blank, name)
        if kind == _STRING:
            meta.add_string(f"halfbyte.{key}", value)
        elif kind == _ARRAY:
            meta.add_array(f"halfbyte.{key}", list(value))
        elif kind == _U32:
            meta.add_uint32(f"halfbyte.{key}", value)
        else:
            meta.add_float32(f"halfbyte.{key}", value)


def patch(path: str | os.PathLike[str], figures: Figures, *, measured: bool = True) -> None:
    """Fill in the blanks that `reserve` left.

    Raises:
        ConversionError: the file has no such blank, or one of another size.
    """
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        for name, (key, kind) in _KEYS.items():
            if not measured and name not in _OWN:
                continue
            head, value = _packed(f"halfbyte.{key}", kind, getattr(figures, name))
            at = mapped.find(head)
            if at < 0:
                raise ConversionError(
                    path, f"halfbyte.{key}", expected="a reserved key of its size"
                )
            mapped[at + len(head) : at + len(head) + len(value)] = value
        mapped.flush()


def read_figures(metadata: Metadata) -> Figures | None:
    """The figures that a file carries, defaults for what was not measured; None without any.

    Raises:
        ModelFileError: a checksum is missing, or one is of another type.
    """
    if "halfbyte.tensors.sha256" not in metadata:
        return None
    found: dict[str, object] = {}
    for name, (key, kind) in _KEYS.items():
        full = f"halfbyte.{key}"
        if name not in _OWN and full not in metadata:
            continue
        if kind == _STRING:
            found[name] = metadata.get_str(full)
        elif kind == _U32:
            found[name] = metadata.get_int(full)
        elif kind == _ARRAY:
            floats = name == "tensor_errors"
            found[name] = tuple(metadata.get_numbers(full, floats=floats).tolist())
        else:
            found[name] = _float(metadata, full)
    return Figures(**found)  # type: ignore[arg-type]


def _float(metadata: Metadata, key: str) -> float:
    """A number that may be NaN, which `get_float` refuses."""
    value = metadata.raw(key).value if key in metadata else None
    if not isinstance(value, float):
        raise ModelFileError(metadata.path, key, expected="a floating-point number", got=value)
    return value


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
    return digest.hexdigest()


def tensor_line(name: str, type_name: str, shape: tuple[int, ...]) -> bytes:
    """What a checksum over tensors has before each one's bytes."""
    return f"{name} {type_name} {shape}\n".encode()


def tensors_sha256(file: GGUFFile) -> str:
    """SHA-256 over each tensor's name, type, shape and bytes, in the file's order."""
    digest = hashlib.sha256()
    for info in file.tensors.values():
        digest.update(tensor_line(info.name, info.type_name, info.shape))
        digest.update(file.data(info.name).data)
        file.release(info.name)
    return digest.hexdigest()


def _packed(key: str, kind: int, value: object) -> tuple[bytes, bytes]:
    """A key-value pair as GGUF writes it: what comes before the value, and the value."""
    head = struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind)
    if isinstance(value, str):
        return head + struct.pack("<Q", len(value)), value.encode()
    if isinstance(value, tuple):
        element = _F32 if key.endswith("errors") else _I32
        head += struct.pack("<IQ", element, len(value))
        return head, np.asarray(value, "<f4" if element == _F32 else "<i4").tobytes()
    return head, struct.pack("<f" if kind == _F32 else "<I", value)
