"""The kernels that a model takes: of its shape of attention, its tensors' types and its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from halfbyte.engine.arithmetic import product_kernels
from halfbyte.engine.expert_records import expert_kernels
from halfbyte.engine.fused_latents import transposed_format
from halfbyte.engine.kv_cache import kv_layout
from halfbyte.engine.latent_records import latent_kernels
from halfbyte.engine.per_layer_records import per_layer_kernels
from halfbyte.engine.rooms import panel_format
from halfbyte.engine.row_table import row_kernels
from halfbyte.engine.stage_kernels import stage_kernels
from halfbyte.families.config import ModelConfig
from halfbyte.families.next_layer import in_memory
from halfbyte.families.per_layer import TABLE
from halfbyte.families.registry import own_tensors, stages_of
from halfbyte.families.stages import Embed, GateAttended
from halfbyte.gguf.file import GGUFFile
from halfbyte.import_lock import Later
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.kv_pages import KVLayout
from halfbyte.kernels.layouts.lookup import lookup_kernel
from halfbyte.kernels.layouts.packing import pack_matrices
from halfbyte.kernels.layouts.panel_packing import pack_kernel
from halfbyte.kernels.layouts.panels import PanelFormat
from halfbyte.kernels.pool import run_job, serve
from halfbyte.kernels.stages import attention
from halfbyte.kernels.stages.attention_sinks import sinks_kernel
from halfbyte.kernels.stages.gates import gate_attended
from halfbyte.kernels.stages.rope import rope_append_kernel, rotate_queries_kernel
from halfbyte.kernels.step import step

if TYPE_CHECKING:
    from halfbyte.engine import recurrent_records
else:  # few models have such layers
    recurrent_records = Later("halfbyte.engine.recurrent_records")


def kernels_of(
    models: Sequence[tuple[GGUFFile, ModelConfig]], kv_type: str, arithmetic: str
) -> list[Kernel]:
    """Every kernel that models use, of which layers that guess stand behind their model."""
    kernels: dict[str, Kernel] = {}
    formats: dict[str, PanelFormat] = {}
    for file, config in models:
        specs = [s for s in own_tensors(config) if s.is_matrix and s.name in file.tensors]
        own = {spec.name: panel_format(file, file.tensors[spec.name]) for spec in specs}
        at = config.next_layer
        formats = {**formats, **own, **in_memory(own, at)} if at else own
        used = kernels_for(config, kv_type, formats, arithmetic)
        kernels |= {kernel.name: kernel for kernel in used}
    return list(kernels.values())


def kernels_for(
    config: ModelConfig, kv_type: str, formats: Mapping[str, PanelFormat], arithmetic: str = "int8"
) -> list[Kernel]:
    """Every kernel that a model uses; `formats` are its matrices' by GGUF name.

    The first ones take longest to compile: processes that take one after another end together.
    """
    table = formats.get(f"{TABLE}.weight")
    formats = {name: fmt for name, fmt in formats.items() if name != f"{TABLE}.weight"}
    layout = kv_layout(config, kv_type, config.n_ctx_train)
    used = [[step]]
    used += [list(attention_kernels(config, layout.place(config.kv_slot(i))[1], i).values())
             for i in _unlike(config)]  # fmt: skip
    used.append([lookup_kernel(formats[s.tensor(*tensor)].kernel_name)
                 for s in stages_of(config) if isinstance(s, Embed)
                 for tensor in s.tensors])  # fmt: skip
    cut = [transposed_format(formats[s.name])
           for s in own_tensors(config) if s.heads]  # fmt: skip
    packed = [*formats.values(), *cut]
    used.append([pack_kernel(name) for name in sorted({f.name for f in packed})])
    of_names = {f.kernel_name: f for f in packed}
    used += [
        list(product_kernels(of_names[name], arithmetic).values()) for name in sorted(of_names)
    ]
    used += [list(stage_kernels(s, config).values()) for s in stages_of(config)]
    used.append(expert_kernels(config) + latent_kernels(config))
    if config.recurrent is not None:
        used.append(recurrent_records.recurrent_kernels(config))
    is_gated = any(isinstance(s, GateAttended) for s in stages_of(config))
    used.append([gate_attended] if is_gated else [])
    used.append(per_layer_kernels(config))
    used.append(row_kernels(table.source) if table else [])
    used.append([pack_matrices, serve, run_job])
    return list({kernel.name: kernel for group in used for kernel in group}.values())


def _unlike(c: ModelConfig) -> list[int]:
    """A layer of each shape of attention."""
    layers = filter(c.has_attention, range(c.n_layers))
    shapes = {(c.group_of(i), c.head_dim_of(i), c.has_kv(i), c.sinks_of(i)): i for i in layers}
    return list(shapes.values())


def attention_kernels(c: ModelConfig, layout: KVLayout, layer: int) -> dict[str, Kernel]:
    """What is compiled for a layer's shape of attention, by the words that have the addresses.

    `layout` is that of its heads.
    """
    kv_type, cap, latent, group = layout.kv_type, c.attn_softcap, layout.latent, c.group_of(layer)
    shape = (layout.head_dim, layout.value_dim, group)
    kernels = {
        "attend": attention.attention_kernel(kv_type, *shape, cap, latent),
        "attend_pages": attention.pages_kernel(kv_type, *shape, cap, latent),
        "merge_pages": attention.merge_kernel(kv_type, *shape, latent),
    }
    if c.sinks_of(layer):
        kernels["attend_first"] = sinks_kernel(kv_type, *shape, cap, latent)
    if latent:  # compressed keys come to the cache by a stage of their own
        return kernels
    if not c.has_kv(layer):
        return {**kernels, "rope_append": rotate_queries_kernel(layout.head_dim, group)}
    return {**kernels, "rope_append": rope_append_kernel(kv_type, *shape)}
