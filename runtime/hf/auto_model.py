"""A model with transformers' interface: `AutoModelForCausalLM`, and its `generate`."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from halfbyte.call_arguments import check_flag, check_path
from halfbyte.errors import RequestError
from halfbyte.families.registry import family_of
from halfbyte.hf.arguments import NOT_LOADING, check_count, is_same, leave_out, located
from halfbyte.hf.assistant import Assistant
from halfbyte.hf.batch import check_device
from halfbyte.hf.errors import MissingNameError
from halfbyte.hf.forward import ABSENT, forward
from halfbyte.hf.generating import GeneratingModel
from halfbyte.hf.generation_config import FILE, GenerationConfig, config_of
from halfbyte.hf.keywords import ModelOptions
from halfbyte.hf.peft_adapters import ActiveAdapters, PeftModel
from halfbyte.hf.pretrained_config import PretrainedConfig, refuse_others
from halfbyte.loading import load
from halfbyte.model import Model

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack

log = logging.getLogger(__name__)

# Arguments of `halfbyte.load`, which from_pretrained passes on.
_LOAD = (
    "threads", "ctx", "kv_type", "arithmetic", "attention_window", "attention_sinks", "type",
    "progress",
)  # fmt: skip
# Where transformers keeps and computes; here there is the CPU, and weights keep their types.
PLACES = ("device", "device_map", "dtype", "torch_dtype")
# How transformers computes or reads: any value gives the same here.
_WITHOUT_EFFECT = (
    "attn_implementation", "experts_implementation", "low_cpu_mem_usage", "max_memory",
    "offload_buffers", "offload_folder", "offload_state_dict", "trust_remote_code", "tp_plan",
    "use_flash_attention_2", "use_safetensors", "weights_only",
)  # fmt: skip
EMBEDDING = "token_embd.weight"
_QUANTIZATION = ("quantization_config", "load_in_4bit", "load_in_8bit")


_WAYS_OUT = {
    "push_to_hub": "upload its .gguf file with the hub's own client",
    **dict.fromkeys(
        ("train", "parameters", "named_parameters", "state_dict", "resize_token_embeddings"),
        "weights stay quantized, and there is no training",
    ),
    **dict.fromkeys(("half", "float", "bfloat16", "cuda", "cpu"), "weights stay as they are"),
}


class CausalLM(GeneratingModel, PeftModel):
    """A loaded model that continues token ids; `close()` frees it, as leaving a `with` does.

    Attributes:
        generation_config: what `generate` does where a call says nothing.
        model: the same with halfbyte's own interface.
        name_or_path: what it was loaded from.
        assistant, adapters: what guesses for it, and what its calls go through.
    """

    device = "cpu"

    def __init__(self, model: Model, generation_config: GenerationConfig, name: str) -> None:
        self.model = model
        self.assistant, self.adapters = Assistant(model), ActiveAdapters()
        self.generation_config = generation_config
        self.name_or_path = name

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        **arguments: Unpack[ModelOptions],
    ) -> CausalLM:
        """Load a model.

        Args:
            pretrained_model_name_or_path: whatever `halfbyte.load` takes.
            arguments: `threads`, `ctx`, `kv_type`, `arithmetic`, `attention_window`,
                `attention_sinks`, `type` and `progress` as for `load`; `gguf_file` in a folder or
                a repository; `local_files_only=True` pulls nothing; `generation_config`.
                What says how transformers computes (`dtype`, `device_map`, `attn_implementation`
                ...) may be given too: weights keep the types of the file, on the CPU.

        Raises:
            RequestError: an unknown argument, or one that cannot be honoured.
            HalfbyteError: as `halfbyte.load`.
        """
        name = check_path("model", pretrained_model_name_or_path)
        given: dict[str, Any] = {**arguments}
        stated = config_of(given.pop("generation_config", None))
        place = located(name, given)
        model = load(place, **_loading(given))
        try:
            return cls(model, stated.over(_own_config(model, place)), name)
        except BaseException:
            model.close()
            raise

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name_or_path!r} on {self.model!r}>"

    @property
    def config(self) -> PretrainedConfig:
        """The model's shape under Hugging Face's names; `model.config` has Meta's."""
        special = self.model.tokenizer.vocabulary.special
        return PretrainedConfig.of(self.model.config, special)

    @property
    def dtype(self) -> Any:
        """The type of logits: torch.float32 where torch is imported, else NumPy's."""
        torch = sys.modules.get("torch")
        return np.dtype(np.float32) if torch is None else torch.float32

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the model has, those of a tied embedding once.

        None is trainable: there is no training. Raises EngineError where the model is closed.
        """
        self.model.engine.check_open()
        check_flag("only_trainable", only_trainable)
        check_flag("exclude_embeddings", exclude_embeddings)
        weights = self.model.engine.weights
        names = set() if only_trainable else {*weights.matrices, *weights.vectors}
        names -= {EMBEDDING} if exclude_embeddings else set()
        config = self.model.config
        specs = family_of(config).tensors(config)
        return sum(math.prod(spec.shape) for spec in specs if spec.name in names)

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        labels: Any = None,
        *,
        token_type_ids: Any = None,
        logits_to_keep: int = 0,
        return_dict: bool = True,
        **others: Any,
    ) -> Any:
        """Logits after each token of rows.

        Args:
            input_ids: whole numbers (batch, n).
            attention_mask: (batch, n), 0 where there is padding, at the ends of rows alone: its
                logits are zeros.
            labels: (batch, n), ids or -100 for what does not count; give the mean cross entropy of
                each label after what stands before it.
            token_type_ids: may be given and has no effect.
            logits_to_keep: give those of the last positions alone; 0: all.
            return_dict: False gives a tuple.
            others: what transformers' forward takes may be left off by name.

        Returns:
            `logits`, float32 (batch, n, vocab_size), and `loss`: arrays, or tensors where the ids
            are one.

        Raises:
            RequestError: a name or value that is not supported, or inputs of another shape.
            ContextLengthError: a row is too long. EngineError: the model is closed.
        """
        refuse_others(leave_out(others, ABSENT))
        check_count("logits_to_keep", logits_to_keep, 0)
        check_flag("return_dict", return_dict)
        adapter = self.adapters.of_call(None)
        out = forward(self.model, input_ids, attention_mask, labels, logits_to_keep, adapter)
        return out if return_dict else out.to_tuple()

    def __getattr__(self, name: str) -> Any:
        hint = _WAYS_OUT.get(name, "`.model` is the same with halfbyte's own interface")
        raise MissingNameError(f"this model has no {name!r}: {hint}")

    def save_pretrained(self, save_directory: Any, **options: Any) -> None:
        """Refused: the weights are a .gguf file already."""
        raise RequestError(
            "save_pretrained", expected="a copy of the file: there are no other weights here",
            got=save_directory, hint=f"copy {self.model.path}; tokenizers have save_pretrained",
        )  # fmt: skip

    def can_generate(self) -> bool:
        """True."""
        return True

    def eval(self) -> CausalLM:
        """The model itself: there is no training."""
        return self

    def to(self, device: Any = None, **options: Any) -> CausalLM:
        """The model itself, on the CPU: another device is logged as without effect."""
        check_places({"device": device, **options})
        return self

    def close(self) -> None:
        """Free the memory and stop the threads."""
        self.model.close()

    def __enter__(self) -> CausalLM:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


# There is one class for whatever runs here.
AutoModelForCausalLM = LlamaForCausalLM = CausalLM


def check_places(arguments: Mapping[str, Any]) -> None:
    """Say that a device or a type has no effect; raises RequestError for anything else."""
    for name, value in arguments.items():
        if name not in PLACES:
            raise RequestError(name, expected="an argument that is known", got=name)
        if name.startswith("device"):
            check_device(value, name)
        elif not (is_same(value, None) or is_same(value, "auto")):
            log.warning("%s=%s: weights keep the types that the file has", name, value)


def _loading(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for `load`; all others checked."""
    rest = leave_out(arguments, NOT_LOADING, (*_LOAD, *_WITHOUT_EFFECT))
    for name in _QUANTIZATION:
        if rest.pop(name, None):
            raise RequestError(
                name, expected="nothing: a model is quantized when it is converted",
                hint="halfbyte convert SRC DST --type q4_0",
            )  # fmt: skip
    check_places(rest)
    return {name: arguments[name] for name in _LOAD if name in arguments}


def _own_config(model: Model, folder: Path) -> GenerationConfig:
    """What the model's folder states, or else its vocabulary."""
    special = model.tokenizer.vocabulary.special
    own = GenerationConfig(
        eos_token_id=special.get("eos"),
        bos_token_id=special.get("bos"),
        pad_token_id=special.get("pad"),
    )
    if (folder / FILE).is_file():
        return GenerationConfig.from_pretrained(folder).over(own)
    return own
