"""Each module has its test: `runtime/a/b.py` in `tests/runtime/a/test_b.py`, or listed here."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.architecture.house import MODULES, ROOT, Function, Module, imports_in

# Module -> the file below tests/ that covers it under another name. The list may only shrink.
_QUANTIZED = "convert/sources/quantized/test_checkpoint_tensors.py"
COVERED_BY = {
    "convert/encode.py": "convert/test_writer.py",
    "convert/options.py": "convert/test_measured.py",
    "convert/plan.py": "convert/test_convert.py",
    "convert/report/page.py": "convert/test_measured.py",
    "convert/rotation_keys.py": "convert/test_gguf_keys.py",
    "convert/sources/quantized/affine.py": _QUANTIZED,
    "convert/sources/quantized/awq_layout.py": _QUANTIZED,
    "convert/sources/quantized/checkpoint.py": _QUANTIZED,
    "convert/sources/quantized/compressed_tensors.py": _QUANTIZED,
    "convert/sources/quantized/float8.py": _QUANTIZED,
    "convert/sources/quantized/gptq_layout.py": _QUANTIZED,
    "convert/sources/next_tensors.py": "runtime/families/test_next_layer.py",
    "convert/sources/source_tensors.py": "convert/sources/test_source.py",
    "convert/sources/hf_tensors.py": "convert/sources/test_hf_folder.py",
    "kernels/compiler/compile_processes.py": "kernels/compiler/test_compile_server.py",
    "kernels/compiler/deferred.py": "kernels/compiler/test_jit.py",
    "kernels/compiler/llvm_linker.py": "kernels/compiler/test_machine_code.py",
    "kernels/compiler/numba_compiler.py": "kernels/compiler/test_jit.py",
    "kernels/formats/block_format.py": "kernels/formats/test_codes.py",
    "kernels/formats/codebook.py": "kernels/formats/test_codebooks.py",
    "kernels/formats/iq4.py": "kernels/formats/test_registry.py",
    "kernels/formats/k.py": "kernels/formats/test_registry.py",
    "kernels/formats/mxfp4.py": "kernels/formats/test_registry.py",
    "kernels/formats/nvfp4.py": "kernels/formats/test_registry.py",
    "kernels/formats/ternary.py": "kernels/formats/test_registry.py",
    "kernels/layouts/lookup.py": "kernels/layouts/test_panels.py",
    "kernels/layouts/panel_packing.py": "kernels/layouts/test_panels.py",
    "kernels/quantizers/dequantize.py": "kernels/quantizers/test_quantize.py",
    "kernels/quantizers/quantize_k.py": "kernels/quantizers/test_quantize.py",
    "kernels/quantizers/quantize_mxfp4.py": "kernels/quantizers/test_quantize.py",
    "kernels/quantizers/quantize_small.py": "kernels/quantizers/test_quantize.py",
    "kernels/quantizers/quantize_ternary.py": "kernels/quantizers/test_quantize.py",
    "kernels/quantizers/scale_search.py": "kernels/quantizers/test_quantize.py",
    "kernels/products/byte_dots.py": "kernels/stages/test_codes_page.py",
    "kernels/products/float_product.py": "kernels/products/test_matmul.py",
    "kernels/products/float_units.py": "kernels/products/test_matmul.py",
    "kernels/products/power_units.py": "kernels/products/test_matmul.py",
    "kernels/products/scaled_units.py": "kernels/products/test_matmul.py",
    "kernels/products/wide_units.py": "kernels/products/test_matmul.py",
    "kernels/stages/activate.py": "runtime/engine/test_stage_kernels.py",
    "kernels/stages/adapt.py": "runtime/engine/test_adapter_weights.py",
    "kernels/stages/append.py": "kernels/stages/test_rope.py",
    "kernels/stages/attend.py": "runtime/engine/test_engine.py",
    "kernels/stages/attention_page.py": "kernels/stages/test_attention.py",
    "kernels/stages/called.py": "runtime/engine/test_engine.py",
    "kernels/stages/delta_net_rows.py": "kernels/stages/test_delta_net.py",
    "kernels/layouts/delta_states.py": "kernels/stages/test_delta_net.py",
    "kernels/stages/experts.py": "runtime/engine/test_expert_records.py",
    "kernels/stages/finish.py": "runtime/engine/test_stage_kernels.py",
    "kernels/stages/gates.py": "runtime/engine/test_engine.py",
    "kernels/stages/head_inputs.py": "runtime/engine/test_stage_kernels.py",
    "kernels/stages/latent.py": "runtime/engine/test_engine.py",
    "kernels/stages/latent_page.py": "kernels/stages/test_attention.py",
    "kernels/stages/layer_norm.py": "runtime/engine/test_stage_kernels.py",
    "kernels/stages/learned_positions.py": "runtime/engine/test_stage_kernels.py",
    "kernels/stages/operations.py": "runtime/engine/test_engine.py",
    "kernels/stages/products.py": "runtime/engine/test_engine.py",
    "kernels/stages/renorm.py": "runtime/engine/test_stage_kernels.py",
    "kernels/stages/rows.py": "runtime/engine/test_engine.py",
    "kernels/step.py": "runtime/engine/test_engine.py",
    "kernels/vectors/atomics.py": "kernels/test_pool.py",
    "kernels/vectors/calls.py": "kernels/test_pool.py",
    "kernels/vectors/hadamard.py": "kernels/stages/test_codes_page.py",
    "kernels/vectors/emit.py": "kernels/vectors/test_simd.py",
    "kernels/vectors/table_lookup.py": "kernels/products/test_dots.py",
    "kernels/vectors/tile_type.py": "kernels/vectors/test_simd.py",
    "kernels/vectors/words.py": "runtime/engine/test_engine.py",
    "runtime/__init__.py": "runtime/test_public_api.py",
    "runtime/families/phi3.py": "architecture/test_registries.py",
    "runtime/families/rope.py": "runtime/families/test_rope_from_hf.py",
    "runtime/families/rope_from_gguf.py": "runtime/families/test_from_gguf.py",
    "runtime/cli/__init__.py": "runtime/cli/test_main.py",
    "runtime/cli/chat_input.py": "runtime/cli/test_chat.py",
    "runtime/cli/chat_session.py": "runtime/cli/test_chat.py",
    "runtime/cli/compare.py": "runtime/cli/test_quality.py",
    "runtime/cli/convert.py": "runtime/cli/test_files.py",
    "runtime/cli/doctor.py": "runtime/cli/test_files.py",
    "runtime/cli/inspect.py": "runtime/cli/test_files.py",
    "runtime/cli/options.py": "runtime/cli/test_chat.py",
    "runtime/cli/output.py": "runtime/cli/test_complete.py",
    "runtime/cli/perplexity.py": "runtime/cli/test_quality.py",
    "runtime/cli/list.py": "runtime/cli/test_files.py",
    "runtime/cli/pull.py": "runtime/cli/test_files.py",
    "runtime/cli/report.py": "runtime/cli/test_files.py",
    "runtime/cli/rm.py": "runtime/cli/test_files.py",
    "runtime/cli/texts.py": "runtime/cli/test_quality.py",
    "runtime/cli/source_files.py": "runtime/cli/test_infill.py",
    "runtime/cli/score.py": "runtime/cli/test_candidates.py",
    "runtime/cli/speed.py": "runtime/cli/test_bench.py",
    "runtime/cli/tokenize.py": "runtime/cli/test_files.py",
    "runtime/cli/verify.py": "runtime/cli/test_quality.py",
    "runtime/cli/warmup.py": "runtime/cli/test_bench.py",
    "runtime/conversion.py": "convert/test_convert.py",
    "runtime/engine/adapted_steps.py": "runtime/engine/test_adapter_weights.py",
    "runtime/engine/cached_keys.py": "runtime/engine/test_trace.py",
    "runtime/engine/factor_places.py": "runtime/engine/test_adapter_weights.py",
    "runtime/quality/attention.py": "runtime/quality/test_float_model.py",
    "runtime/quality/norms.py": "runtime/quality/test_float_model.py",
    "runtime/quality/activations.py": "runtime/quality/test_float_model.py",
    "runtime/engine/program.py": "runtime/engine/test_engine.py",
    "runtime/engine/row_records.py": "runtime/engine/test_engine.py",
    "runtime/engine/stage_words.py": "runtime/engine/test_engine.py",
    "runtime/quality/float_experts.py": "runtime/quality/test_float_model.py",
    "runtime/engine/delta_net_records.py": "kernels/stages/test_delta_net.py",
    "runtime/families/delta_net.py": "convert/sources/test_delta_tensors.py",
    "runtime/families/delta_net_config.py": "runtime/families/test_delta_net_readers.py",
    "runtime/families/delta_order.py": "convert/sources/test_delta_tensors.py",
    "runtime/families/qwen3next.py": "architecture/test_registries.py",
    "runtime/quality/convolution.py": "runtime/quality/test_float_model.py",
    "runtime/quality/float_delta_nets.py": "runtime/quality/test_float_model.py",
    "runtime/quality/float_latents.py": "runtime/quality/test_float_model.py",
    "runtime/engine/model_kernels.py": "runtime/engine/test_engine.py",
    "runtime/engine/attention_records.py": "runtime/engine/test_engine.py",
    "runtime/engine/latent_records.py": "runtime/engine/test_engine.py",
    "runtime/engine/recurrent_buffers.py": "runtime/engine/test_engine.py",
    "runtime/engine/recurrent_records.py": "runtime/engine/test_engine.py",
    "runtime/engine/settling.py": "runtime/engine/test_recurrent_state.py",
    "runtime/engine/span_words.py": "runtime/engine/test_recurrent_state.py",
    "runtime/engine/state_layout.py": "runtime/engine/test_state_pool.py",
    "runtime/engine/finite.py": "runtime/engine/test_expert_records.py",
    "runtime/quality/float_recurrence.py": "runtime/quality/test_float_model.py",
    "convert/recurrent_keys.py": "convert/test_gguf_keys.py",
    "kernels/stages/group_norms.py": "kernels/stages/test_mamba2.py",
    "kernels/stages/mamba2_inputs.py": "kernels/stages/test_mamba2.py",
    "convert/sources/mamba_tensors.py": "runtime/test_golden.py",
    "convert/sources/tensor_view.py": "convert/sources/test_tap_tensors.py",
    "runtime/engine/mamba2_records.py": "runtime/engine/test_engine.py",
    "runtime/families/granitehybrid.py": "runtime/families/test_mamba2_from_hf.py",
    "runtime/families/nemotron_h.py": "runtime/families/test_mamba2_from_hf.py",
    "runtime/families/mamba2.py": "architecture/test_registries.py",
    "runtime/families/mamba2_config.py": "runtime/families/test_mamba2_from_hf.py",
    "runtime/quality/float_mamba2.py": "runtime/quality/test_float_model.py",
    "runtime/prompt/tools/nemotron_calls.py": "runtime/prompt/tools/test_formats.py",
    "runtime/families/lfm2.py": "architecture/test_registries.py",
    "runtime/families/lfm2moe.py": "architecture/test_registries.py",
    "runtime/families/short_conv.py": "architecture/test_registries.py",
    "runtime/families/short_conv_config.py": "runtime/families/test_short_conv_from_gguf.py",
    "runtime/families/layer_kinds.py": "runtime/families/test_short_conv_from_gguf.py",
    "runtime/families/layers_from_gguf.py": "runtime/families/test_from_gguf.py",
    "runtime/families/states.py": "architecture/test_registries.py",
    "runtime/families/deepseek2.py": "architecture/test_registries.py",
    "runtime/families/latent.py": "architecture/test_registries.py",
    "runtime/families/latent_stages.py": "architecture/test_registries.py",
    "runtime/families/latent_config.py": "runtime/families/test_latent_from_gguf.py",
    "runtime/families/blocks.py": "architecture/test_registries.py",
    "runtime/families/config.py": "runtime/families/test_from_gguf.py",
    "runtime/families/family.py": "architecture/test_registries.py",
    "runtime/families/experts.py": "architecture/test_registries.py",
    "runtime/families/qwen2moe.py": "architecture/test_registries.py",
    "runtime/families/laguna.py": "architecture/test_registries.py",
    "runtime/families/mellum.py": "architecture/test_registries.py",
    "runtime/families/qwen3moe.py": "architecture/test_registries.py",
    "runtime/families/llama.py": "architecture/test_registries.py",
    "runtime/families/qwen2.py": "architecture/test_registries.py",
    "runtime/families/qwen3.py": "architecture/test_registries.py",
    "runtime/families/ernie4_5.py": "architecture/test_registries.py",
    "runtime/families/gemma.py": "architecture/test_registries.py",
    "runtime/families/granite.py": "architecture/test_registries.py",
    "runtime/families/granitemoe.py": "architecture/test_registries.py",
    "runtime/families/ernie4_5moe.py": "architecture/test_registries.py",
    "runtime/families/glm4moe.py": "architecture/test_registries.py",
    "runtime/families/apertus.py": "architecture/test_registries.py",
    "runtime/families/cohere2.py": "architecture/test_registries.py",
    "runtime/families/exaone4.py": "architecture/test_registries.py",
    "runtime/families/olmo2.py": "architecture/test_registries.py",
    "runtime/families/seed_oss.py": "architecture/test_registries.py",
    "runtime/families/starcoder2.py": "architecture/test_registries.py",
    "runtime/families/gemma2.py": "architecture/test_registries.py",
    "runtime/families/gemma3.py": "architecture/test_registries.py",
    "runtime/families/gemma4.py": "architecture/test_registries.py",
    "runtime/families/per_layer.py": "architecture/test_registries.py",
    "runtime/families/layer_sizes.py": "runtime/families/test_sizes_from_gguf.py",
    "runtime/families/shared_layers.py": "runtime/families/test_sizes_from_gguf.py",
    "runtime/engine/per_layer_records.py": "runtime/test_gemma4.py",
    "runtime/engine/rooms.py": "runtime/engine/test_weights.py",
    "runtime/quality/float_attention.py": "runtime/quality/test_float_model.py",
    "convert/size_keys.py": "runtime/test_golden.py",
    "runtime/families/glm4.py": "architecture/test_registries.py",
    "runtime/families/gpt_oss.py": "architecture/test_registries.py",
    "runtime/families/starcoder.py": "architecture/test_registries.py",
    "runtime/families/registry.py": "architecture/test_registries.py",
    "runtime/families/expert_stages.py": "architecture/test_registries.py",
    "runtime/families/stages.py": "architecture/test_registries.py",
    "runtime/families/tensors.py": "runtime/engine/test_weights.py",
    "runtime/prompt/harmony_messages.py": "runtime/test_harmony_chats.py",
    "runtime/prompt/tools/harmony.py": "runtime/prompt/tools/test_formats.py",
    "runtime/tokenizer/harmony_texts.py": "runtime/test_harmony_chats.py",
    "runtime/planning/call_options.py": "runtime/planning/test_planner.py",
    "runtime/planning/call_plan.py": "runtime/planning/test_planner.py",
    "runtime/planning/request_maker.py": "runtime/planning/test_planner.py",
    "runtime/generation/adaptation.py": "runtime/methods/test_adapting.py",
    "runtime/generation/beams/beams.py": "runtime/generation/beams/test_beam_request.py",
    "runtime/generation/beams/group_search.py": "runtime/generation/beams/test_beam_search.py",
    "runtime/generation/async_call.py": "runtime/generation/test_async_stream.py",
    "runtime/generation/call.py": "runtime/generation/test_scheduler.py",
    "runtime/generation/chat_completion.py": "runtime/planning/test_chat_planning.py",
    "runtime/generation/completion.py": "runtime/generation/test_text_request.py",
    "runtime/generation/pieces.py": "runtime/generation/test_stream.py",
    "runtime/generation/records.py": "runtime/generation/test_probabilities.py",
    "runtime/generation/recorder.py": "runtime/generation/test_probabilities.py",
    "runtime/generation/continuation.py": "runtime/generation/test_running_batch.py",
    "runtime/generation/disk_reading.py": "runtime/generation/test_running_batch.py",
    "runtime/generation/step.py": "runtime/generation/test_running_batch.py",
    "runtime/generation/request.py": "runtime/generation/test_running_batch.py",
    "runtime/generation/rules/opening.py": "runtime/test_chat_thoughts.py",
    "runtime/generation/rules/thinking_budget.py": "runtime/test_chat_thoughts.py",
    "runtime/generation/rules/thoughts.py": "runtime/test_chat_thoughts.py",
    "runtime/generation/score.py": "runtime/methods/test_scoring.py",
    "runtime/generation/syntax/code_text.py": "runtime/generation/syntax/test_python_middle.py",
    "runtime/generation/syntax/python_lines.py": "runtime/generation/syntax/test_python_scope.py",
    "runtime/generation/syntax/python_parser.py": "runtime/generation/syntax/test_python_scope.py",
    "runtime/gguf/metadata.py": "runtime/gguf/test_file.py",
    "runtime/hf/answer_plan.py": "runtime/hf/test_generating.py",
    "runtime/hf/array_kinds.py": "runtime/hf/processors/test_callers_own.py",
    "runtime/hf/beam_plan.py": "runtime/hf/test_generating.py",
    "runtime/hf/insides.py": "runtime/hf/test_generating.py",
    "runtime/hf/model_output.py": "runtime/hf/test_forward.py",
    "runtime/hf/outputs.py": "runtime/hf/test_generating.py",
    "runtime/hf/processors/processing.py": "runtime/hf/test_generating.py",
    "runtime/hf/processors/processor_list.py": "runtime/hf/test_generating.py",
    "runtime/hf/processors/repetitions.py": "runtime/hf/test_generating.py",
    "runtime/hf/row_plan.py": "runtime/hf/test_generating.py",
    "runtime/hf/transition_scores.py": "runtime/hf/test_generating.py",
    "runtime/hf/auto_model.py": "runtime/hf/test_generation.py",
    "runtime/hf/batch.py": "runtime/hf/tokenizer/test_encoding.py",
    "runtime/hf/errors.py": "runtime/hf/test_arguments.py",
    "runtime/hf/generation_config.py": "runtime/hf/test_generation.py",
    "runtime/hf/keywords.py": "runtime/hf/test_generation.py",
    "runtime/hf/streamers.py": "runtime/hf/test_generation.py",
    "runtime/hf/tokenizer/added_tokens.py": "runtime/hf/tokenizer/test_token_table.py",
    "runtime/hf/tokenizer/encode_options.py": "runtime/hf/test_arguments.py",
    "runtime/hf/tokenizer/llama_tokenizer.py": "runtime/hf/test_auto_tokenizer.py",
    "runtime/hf/tokenizer/pretrained_tokenizer.py": "runtime/hf/tokenizer/test_saved_files.py",
    "runtime/hf/tokenizer/roles.py": "runtime/hf/tokenizer/test_token_table.py",
    "runtime/hf/tokenizer/sentencepieces.py": "runtime/hf/tokenizer/test_code_llama_tokenizer.py",
    "runtime/hf/tokenizer/vocabularies.py": "runtime/hf/tokenizer/test_saved_files.py",
    "runtime/files/json_folder.py": "convert/sources/test_hf_folder.py",
    "runtime/lora/faults.py": "runtime/lora/test_peft_folder.py",
    "runtime/lora/reading.py": "runtime/lora/test_peft_folder.py",
    "runtime/models/cache.py": "runtime/models/test_wheel.py",
    "runtime/models/entries.py": "runtime/models/test_catalogue.py",
    "runtime/progress.py": "runtime/test_model.py",
    "runtime/prompt/inputs.py": "runtime/prompt/test_chat.py",
    "runtime/generation/rules/tool_calls.py": "runtime/planning/test_chat_rules.py",
    "runtime/prompt/tools/call_grammar.py": "runtime/planning/test_chat_rules.py",
    "runtime/prompt/messages.py": "runtime/planning/test_chat_planning.py",
    "runtime/prompt/thinking.py": "runtime/test_chat_thoughts.py",
    "runtime/prompt/tools/call_format.py": "runtime/prompt/tools/test_formats.py",
    "convert/sources/quantized/modelopt.py": "convert/sources/quantized/test_nvfp4.py",
    "runtime/prompt/tools/apertus_calls.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/command_calls.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/deepseek_calls.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/dsml.py": "runtime/prompt/tools/test_tagged.py",
    "runtime/prompt/tools/olmo3_calls.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/exaone_calls.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/firefunction.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/generic.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/glm.py": "runtime/prompt/tools/test_tagged.py",
    "runtime/prompt/tools/glm4_calls.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/granite_calls.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/hermes.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/llama3.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/listed.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/mistral.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/phi4.py": "runtime/prompt/tools/test_formats.py",
    "runtime/prompt/tools/qwen3_coder.py": "runtime/prompt/tools/test_tagged.py",
    "runtime/prompt/tools/seed_oss_calls.py": "runtime/prompt/tools/test_tagged.py",
    "runtime/prompt/template/filters.py": "runtime/prompt/template/test_expressions.py",
    "runtime/prompt/template/functions.py": "runtime/prompt/template/test_chat_template.py",
    "runtime/prompt/template/methods.py": "runtime/prompt/template/test_expressions.py",
    "runtime/prompt/template/operators.py": "runtime/prompt/template/test_expressions.py",
    "runtime/prompt/template/plain_data.py": "runtime/prompt/template/test_chat_template.py",
    "runtime/prompt/template/rewriter.py": "runtime/prompt/template/test_hostile_templates.py",
    "runtime/prompt/template/sandbox.py": "runtime/prompt/template/test_hostile_templates.py",
    "runtime/prompt/template/source.py": "runtime/prompt/template/test_hostile_templates.py",
    "runtime/prompt/scored.py": "runtime/methods/test_scoring.py",
    "runtime/quality/layer_source.py": "runtime/quality/test_float_model.py",
    "runtime/quality/perplexity.py": "convert/test_measured.py",
    "runtime/quality/texts.py": "runtime/quality/test_figures.py",
    "runtime/tokenizer/bpe.py": "runtime/tokenizer/test_tokenizer.py",
    "runtime/tokenizer/cuts.py": "runtime/tokenizer/test_pretokenizers.py",
    "runtime/tokenizer/from_json.py": "runtime/tokenizer/test_tokenizer_json.py",
    "runtime/tokenizer/spm.py": "runtime/tokenizer/test_tokenizer.py",
    "runtime/verification.py": "runtime/test_packaged_model.py",
    "runtime/ray/__init__.py": "ray/test_cluster.py",
    "runtime/ray/datasets.py": "ray/test_cluster.py",
    "runtime/ray/deployment.py": "ray/test_cluster.py",
    "runtime/ray/prefix_router.py": "ray/test_cluster.py",
    "runtime/server/record.py": "runtime/server/test_watch.py",
    "runtime/server/server_state.py": "runtime/server/test_metrics.py",
    "runtime/server/serving.py": "runtime/cli/test_serve.py",
    "runtime/server/app.py": "runtime/server/test_endpoint.py",
    "runtime/server/ask.py": "runtime/server/openai/test_completions.py",
    "runtime/server/fault.py": "runtime/server/test_endpoint.py",
    "runtime/server/llama_cpp/llama_protocol.py": "runtime/server/llama_cpp/test_llama_shapes.py",
    "runtime/server/llama_cpp/token_texts.py": "runtime/server/llama_cpp/test_tokenizing.py",
    "runtime/server/openai/completion_fields.py": "runtime/server/openai/test_completions.py",
    "runtime/server/openai/openai_protocol.py": "runtime/server/openai/test_shapes.py",
    "runtime/server/protocol.py": "runtime/server/test_endpoint.py",
    "runtime/server/server_settings.py": "runtime/server/test_security.py",
}


def _own_test(module: Module) -> str:
    return f"tests/{module.folder}/test_{module.stem}.py"


def _holds_code(module: Module) -> bool:
    """Whether it defines a function or class: the __init__.py of a folder often does not."""
    return any(isinstance(node, Function | ast.ClassDef) for node in module.tree.body)


def _imported_by(test: str) -> set[str]:
    """What a test imports, or its folder's conftest does for it."""
    paths = [ROOT / test, (ROOT / test).with_name("conftest.py")]
    sources = [path.read_text("utf-8") for path in paths if path.exists()]
    return {one.name for source in sources for one in imports_in(ast.parse(source), "tests")}


@cache
def _importers(name: str) -> set[Module]:
    return {m for m in MODULES.values() if any(one.name == name for one in m.imports)}


def _part(module: Module) -> list[str]:
    """The folder of runtime/ that it lies in, or kernels/, or convert/."""
    folders = module.folder.split("/")
    return folders[: 2 if folders[0] == "runtime" else 1]


def _entries(module: Module) -> set[str]:
    """What a test of the module may import: itself, or those through which others reach it.

    These are the modules of its part that lead to it and the modules that import one of them.
    """
    entries, new = set[str](), {module.name}
    while new:
        entries |= new
        importers = {m for name in new for m in _importers(name) if m.name not in entries}
        new = {m.name for m in importers if _part(m) == _part(module)}
    return entries | {m.name for name in entries for m in _importers(name)}


def test_each_module_has_its_test() -> None:
    untested = [
        f"{module.path}: no {_own_test(module)}"
        for module in MODULES.values()
        if _holds_code(module) and module.path not in COVERED_BY
        and not (ROOT / _own_test(module)).exists()
    ]  # fmt: skip
    assert not untested, "write it, or name in COVERED_BY what tests it:\n" + "\n".join(untested)


@pytest.mark.parametrize("path", COVERED_BY)
def test_the_named_test_reaches_the_module(path: str) -> None:
    module = next((m for m in MODULES.values() if m.path == path), None)
    assert module is not None, f"{path} is gone; delete it from COVERED_BY"
    assert not (ROOT / _own_test(module)).exists(), "it has its own test; delete it from COVERED_BY"
    test = f"tests/{COVERED_BY[path]}"
    assert (ROOT / test).is_file(), f"{test} is gone; name in COVERED_BY what tests {path} now"
    assert _imported_by(test) & _entries(module), f"{test} does not import {path}"


def test_tests_lie_in_folders_of_the_packages() -> None:
    folders = {module.folder for module in MODULES.values()}
    tests = [p.relative_to(ROOT / "tests").parent.as_posix()
             for top in ("kernels", "runtime", "convert")
             for p in (ROOT / "tests" / top).rglob("test_*.py")]  # fmt: skip
    assert set(tests) <= folders, "the tests' folders mirror those of the packages"
