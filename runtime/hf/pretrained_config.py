"""A model's shape under Hugging Face's names: `model.config`, and `AutoConfig`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.families.config import ModelConfig
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.families.from_hf import config_from_hf
from halfbyte.files.adapters import refuse_adapter
from halfbyte.files.json_folder import JSONFolder
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.split import model_file
from halfbyte.hf.arguments import located
from halfbyte.hf.errors import MissingNameError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.tokenizer import Vocabulary


@dataclass(frozen=True, slots=True)
class PretrainedConfig:
    """What transformers' configurations of these models state, as far as a model's file says it.

    `model.model.config` has the same under Meta's names.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    sliding_window: int | None
    tie_word_embeddings: bool
    bos_token_id: int | None
    eos_token_id: int | None
    pad_token_id: int | None
    hidden_act: str = "silu"

    @classmethod
    def of(cls, config: ModelConfig, special: Mapping[str, Any]) -> PretrainedConfig:
        """The same from Meta's names, and from a vocabulary's special tokens."""
        return cls(
            model_type=config.architecture,
            vocab_size=config.vocab_size,
            hidden_size=config.dim,
            intermediate_size=config.hidden_dim,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_kv_heads,
            head_dim=config.head_dim,
            max_position_embeddings=config.n_ctx_train,
            rms_norm_eps=config.norm_eps,
            rope_theta=config.rope.theta,
            sliding_window=config.sliding_window or None,
            tie_word_embeddings=config.tied,
            bos_token_id=special.get("bos"),
            eos_token_id=special.get("eos"),
            pad_token_id=special.get("pad"),
        )

    def __getattr__(self, name: str) -> Any:
        names = [field.name for field in fields(self)]
        raise MissingNameError(
            f"config.{name}: a model's file does not say it; there are {', '.join(names)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Names and values."""
        return asdict(self)


class AutoConfig:
    """Reads the shape of a model without loading it; has no instances."""

    def __init__(self) -> None:
        raise RequestError("AutoConfig", expected="AutoConfig.from_pretrained(...)")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **arguments: Any
    ) -> PretrainedConfig:
        """The configuration of a .gguf file, of a Hugging Face folder or of a name.

        `arguments` say where to look, see CausalLM.from_pretrained.

        Raises:
            RequestError: an unknown argument, or neither a path nor a name.
            ModelFileError, ConversionError: what lies there does not say it.
        """
        given: dict[str, Any] = {"trust_remote_code": None, **arguments}
        del given["trust_remote_code"]
        path = model_file(located(pretrained_model_name_or_path, given))
        refuse_others(given)
        if path.is_dir():
            folder = JSONFolder(path)
            refuse_adapter(folder)
            stated = folder.read_json("config.json") or {}
            ids = {role: stated.get(f"{role}_token_id") for role in ("bos", "eos", "pad")}
            return PretrainedConfig.of(config_from_hf(path, stated), ids)
        with GGUFFile.open(path) as file:
            special = Vocabulary.from_metadata(file.metadata).special
            return PretrainedConfig.of(config_from_gguf(file), special)


def refuse_others(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that nobody took; RequestError names the first."""
    for name in arguments:
        raise RequestError(name, expected="an argument that is known", got=name)
