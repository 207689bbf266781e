"""transformers + torch as an oracle: runs in `.venvs/torch`.

    python transformers_peer.py SPECS.json OUT

Each spec of the list in SPECS.json is a `Tiny` (tiny_llama) with more fields: `dtype`, in which
the checkpoint is stored, `shard`, the largest size of one file or null, and perhaps `options`, keys
of config.json, where `kind` is a model_type, and `n_ids`, how many tokens are asked for. For each a
model is initialized at random by transformers, saved by `save_pretrained` into OUT/NAME,
and what it says in float32 is written to OUT/NAME/expected.npz: `ids`, `logits` (n, vocab),
`greedy`, the ids generated after them, and `margins` (n,), how far each token's choices of experts
are from a tie; `half_logits` and `half_margins` with a cache in half precision, and `is_same` (n,),
which tokens choose the same experts with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_llama import KINDS, Tiny
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache

N_IDS = 200
_FACTORS = ("router.scale", "per_expert_scale", "layer_scalar")
N_GREEDY = 24


def config_of(tiny: Tiny, options: dict[str, Any]) -> PretrainedConfig:
    """The configuration of a Tiny in transformers' words."""
    stated = dict(
        vocab_size=tiny.vocab_size,
        hidden_size=tiny.dim,
        intermediate_size=tiny.hidden_dim,
        num_hidden_layers=tiny.n_layers,
        num_attention_heads=tiny.n_heads,
        num_key_value_heads=tiny.n_kv_heads,
        head_dim=tiny.head_dim,
        max_position_embeddings=tiny.n_ctx,
        rms_norm_eps=tiny.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": tiny.rope_theta},
        tie_word_embeddings=tiny.tied,
        **_experts_of(tiny),
        initializer_range=tiny.dim**-0.5,  # far above the default of 0.02: attention attends
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        attn_implementation="eager",
    )  # fmt: skip
    return AutoConfig.for_model(tiny.kind, **{**stated, **options})


def _experts_of(tiny: Tiny) -> dict[str, Any]:
    """How many experts and how large, where its kind has any."""
    names = ("num_", "moe_", "shared_expert", "norm_topk")
    return {key: value for key, value in KINDS.get(tiny.kind, {}).items() if key.startswith(names)}


class Choices(TorchFunctionMode):
    """Watches what routers choose.

    Attributes:
        margins: of each token, the least distance of the last score that was chosen, in any layer,
            from the first that was not; infinite where there is no choice.
        made: what was chosen, (n, k) each time.
    """

    def __init__(self, n_ids: int) -> None:
        super().__init__()
        self.margins, self.made = np.full(n_ids, np.inf), list[np.ndarray]()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.topk, torch.Tensor.topk):
            self._watch(args[0], kwargs.get("k", args[1] if len(args) > 1 else 0))
        return func(*args, **kwargs)

    def _watch(self, scores: torch.Tensor, k: int) -> None:
        """Scores (n, experts or groups); those of the experts in a group are only added up."""
        if scores.ndim != 2 or len(scores) != len(self.margins) or k >= scores.shape[-1]:
            return
        best, order = scores.double().sort(-1, descending=True)
        self.margins = np.minimum(self.margins, (best[:, k - 1] - best[:, k]).numpy())
        self.made.append(order[:, :k].sort(-1).values.numpy())


def _half(values: torch.Tensor) -> torch.Tensor:
    return values.half().float()


@contextmanager
def half_cache(model: PreTrainedModel) -> Iterator[None]:
    """Cached keys and values are rounded to half precision; compressed ones as such."""
    update, rank = Cache.update, getattr(model.config, "kv_lora_rank", None)
    n_plain = model.config.qk_nope_head_dim if rank else 0

    def rounded(
        self: Cache, keys: torch.Tensor, values: torch.Tensor, *rest: Any, **more: Any
    ) -> Any:
        keys = torch.cat([keys[..., :n_plain], _half(keys[..., n_plain:])], -1)
        return update(self, keys, values if rank else _half(values), *rest, **more)

    norms = [m for name, m in model.named_modules() if name.endswith("kv_a_layernorm")]
    hooks = [m.register_forward_hook(lambda _, __, out: _half(out)) for m in norms]
    Cache.update = rounded
    try:
        yield
    finally:
        Cache.update = update
        for hook in hooks:
            hook.remove()


def expected(model: PreTrainedModel, n_ids: int, n_greedy: int) -> dict[str, np.ndarray]:
    """Random ids (BOS first), the logits after each, and the greedy continuation."""
    rng = np.random.default_rng(7)
    ids = np.concatenate([[1], rng.integers(3, model.config.vocab_size, n_ids - 1)])
    batch = torch.tensor(ids[None])
    with torch.inference_mode():
        with Choices(n_ids) as full:
            logits = model(batch).logits[0].numpy()
        with half_cache(model), Choices(n_ids) as half:
            half_logits = model(batch).logits[0].numpy()
        model.generation_config.eos_token_id = None  # nothing ends it: all n_greedy ids come
        whole = model.generate(batch, do_sample=False, max_new_tokens=n_greedy, pad_token_id=0)
    same = np.ones(n_ids, bool)
    for a, b in zip(full.made, half.made, strict=True):
        same &= (a == b).all(-1)
    return {
        "ids": ids, "logits": logits, "greedy": whole[0, n_ids:].numpy(), "margins": full.margins,
        "half_logits": half_logits, "half_margins": half.margins,
        "is_same": same,
    }  # fmt: skip


ROUTERS = tuple(f".{name}.weight" for name in ("mlp.gate", "mixer.gate", "router", "router.proj",
                                               "feed_forward.gate"))  # fmt: skip


def make(spec: dict[str, Any], out: Path) -> None:
    """Make one checkpoint and what it says."""
    dtype = getattr(torch, spec.pop("dtype"))
    shard = spec.pop("shard")
    options, n_ids = spec.pop("options", {}), spec.pop("n_ids", N_IDS)
    tiny = Tiny(**spec)
    torch.manual_seed(tiny.seed)
    model = AutoModelForCausalLM.from_config(config_of(tiny, options)).eval()
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            # All start alike, which would hide a mix-up.
            if "norm" in name or "bias" in name or "alpha" in name or name.endswith(_FACTORS):
                value.add_(0.2 * torch.randn_like(value))
            if tiny.kind.startswith("gemma4") and name.endswith(("q_norm.weight", "k_norm.weight")):
                value.mul_(0.35)  # whose scores nothing else makes smaller
            # So that few choices of experts are close to a tie.
            if name.endswith(ROUTERS):
                value.mul_(4)
            if name.endswith("dt_bias"):  # so that states remember for long
                value.sub_(3)
    folder = out / tiny.name
    model.to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    # Read again: .to(dtype) has rounded RoPE's frequencies too, which no checkpoint holds.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    np.savez(folder / "expected.npz", **expected(model, n_ids, N_GREEDY))


def main() -> None:
    """Make all checkpoints."""
    torch.set_num_threads(1)
    specs, out = Path(sys.argv[1]), Path(sys.argv[2])
    for spec in json.loads(specs.read_text()):
        make(spec, out)


if __name__ == "__main__":
    main()
