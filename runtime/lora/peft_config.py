"""adapter_config.json of peft: what of it changes the arithmetic, and what is refused by name.

Sources: peft's LoraConfig, `get_pattern_key` and LoraLayer.update_layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.lazy_dataclass import dataclass

# That say where it came from, how it was trained and what was chosen, which the tensors show.
# fan_in_fan_out is set to False by peft itself for matrices such as all families' here.
_WITHOUT_EFFECT = frozenset("""
    auto_mapping base_model_name_or_path ensure_weight_tying exclude_modules fan_in_fan_out
    inference_mode layers_pattern layers_to_transform lora_dropout megatron_core peft_type
    peft_version qalora_group_size revision runtime_config target_modules task_type
    parent_library corda_config eva_config loftq_config lora_ga_config
""".split())  # fmt: skip
_READ = frozenset(
    "r lora_alpha rank_pattern alpha_pattern use_rslora init_lora_weights bias".split()
)
# Ways to begin a training that leave the model as it is; others change its weights.
_BEGINNINGS = (True, False, None, "gaussian", "eva", "orthogonal", "default")
_WAY_OUT = {
    "use_dora": "DoRA: merge it into its model with peft's merge_and_unload",
    "modules_to_save": "whole matrices beside it: merge it with peft's merge_and_unload",
    "init_lora_weights": "it changes its model's own weights: save it with peft's "
    "path_initial_model_for_weight_conversion, which makes a LoRA of it",
}
_MAX_PATTERN, _MAX_QUANTIFIERS = 200, 4


@dataclass(frozen=True, slots=True)
class PeftConfig:
    """What an adapter's tensors mean.

    Attributes:
        r, alpha: of matrices that no pattern names.
        ranks, alphas: patterns of names -> another one; the first that fits counts.
        has_root: whether alpha is divided by the root of the rank (rsLoRA).
        base: the model that it says it is for, or "".
    """

    path: Path
    r: float
    alpha: float
    ranks: tuple[tuple[re.Pattern[str], float], ...]
    alphas: tuple[tuple[re.Pattern[str], float], ...]
    has_root: bool
    base: str

    @classmethod
    def of(cls, path: Path, stated: Mapping[str, Any]) -> PeftConfig:
        """From the file's object.

        Raises:
            UnsupportedModelError: another kind of adapter, or a variation that is not computed.
            ModelFileError: a number is missing or out of range.
        """
        kind = stated.get("peft_type")
        if kind != "LORA":
            raise UnsupportedModelError(path, "peft_type", expected="LORA", got=kind)
        for key, value in stated.items():
            if key in _WITHOUT_EFFECT or key in _READ or not value:
                continue
            raise UnsupportedModelError(
                path, key, expected="nothing that changes what LoRA computes", got=value,
                hint=_WAY_OUT.get(key, ""),
            )  # fmt: skip
        begun = stated.get("init_lora_weights")
        if begun not in _BEGINNINGS:
            raise UnsupportedModelError(
                path, "init_lora_weights", expected="a beginning that keeps the model",
                got=begun, hint=_WAY_OUT["init_lora_weights"],
            )  # fmt: skip
        if stated.get("bias") not in (None, "none"):
            raise UnsupportedModelError(path, "bias", expected="none", got=stated["bias"])
        rooted, base = stated.get("use_rslora") or False, stated.get("base_model_name_or_path")
        if not isinstance(rooted, bool):
            raise ModelFileError(path, "use_rslora", expected="true or false", got=rooted)
        return cls(
            path, _number(path, "r", stated.get("r")),
            _number(path, "lora_alpha", stated.get("lora_alpha")),
            _patterns(path, "rank_pattern", stated), _patterns(path, "alpha_pattern", stated),
            rooted, base if isinstance(base, str) else "",
        )  # fmt: skip

    def scale(self, module: str, rank: int) -> float:
        """What a module's product is multiplied by; ModelFileError where its rank is another."""
        stated = _first(self.ranks, module, self.r)
        if stated != rank:
            raise ModelFileError(
                self.path, f"{module}: rank", expected=f"{stated:g}, as it says", got=rank
            )
        alpha = _first(self.alphas, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.has_root else rank)


def _first(patterns: tuple[tuple[re.Pattern[str], float], ...], name: str, usual: float) -> float:
    return next((value for pattern, value in patterns if pattern.match(name)), usual)


def _patterns(
    path: Path, key: str, stated: Mapping[str, Any]
) -> tuple[tuple[re.Pattern[str], float], ...]:
    given = stated.get(key) or {}
    if not isinstance(given, dict):
        raise ModelFileError(path, key, expected="an object", got=type(given).__name__)
    return tuple(
        (_compiled(path, key, text), _number(path, f"{key}[{text!r}]", value))
        for text, value in given.items()
    )


def _compiled(path: Path, key: str, text: str) -> re.Pattern[str]:
    """A pattern whose matching ends soon: no repeated groups, few repetitions."""
    n = len(re.findall(r"[*+{]", text))
    if len(text) > _MAX_PATTERN or n > _MAX_QUANTIFIERS or re.search(r"\)[*+?{]", text):
        raise UnsupportedModelError(path, key, expected="names, or simple patterns", got=text)
    try:
        return re.compile(rf"(?:.*\.)?(?:{text})$")
    except (re.error, RecursionError, OverflowError) as error:
        raise ModelFileError(path, key, expected="patterns of names", got=text) from error


def _number(path: Path, key: str, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e9:
        return float(value)
    raise ModelFileError(path, key, expected="a number above 0", got=value)
