"""Models that people run, of each kind that runs here: what docs/models.md asks the code about.

Only what no code of the package can know stands here: that a model was published, of which kind,
and by which words its chat template and its vocabulary are told. Whether it infills, edits, calls
tools or thinks, and how, is the package's answer (models_page.py).

Sources: the models' repositories; for templates those that llama.cpp has in models/templates.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A model.

    Attributes:
        name: its repository's.
        kind: model_type in config.json, or in its text_config.
        tokens: tokens of its vocabulary that mean something for infilling and edits.
        template: variables that its chat template reads, and texts in it, by which formats are
            told; None: it has no template.
        gguf: the architecture of its files, where its kind has several.
    """

    name: str
    kind: str
    tokens: str = ""
    template: str | None = None
    gguf: str = ""


_CODE_LLAMA = "▁<PRE> ▁<SUF> ▁<MID> ▁<EOT>"
_QWEN = (
    "<|endoftext|> <|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|fim_pad|> <|repo_name|> "
    "<|file_sep|>"
)
_DEEPSEEK = "<｜fim▁begin｜> <｜fim▁hole｜> <｜fim▁end｜>"
_SEED = "<[fim-prefix]> <[fim-suffix]> <[fim-middle]>"
_STARCODER = "<|endoftext|> <fim_prefix> <fim_suffix> <fim_middle> <fim_pad>"
_GEMMA = "<|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|file_separator|>"
_GRANITE_4 = (
    "<|end_of_text|> <|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|fim_pad|> <|filename|> "
    "<|reponame|>"
)
_GLM = "<|code_prefix|> <|code_suffix|> <|code_middle|>"
_CODESTRAL = "[PREFIX] [SUFFIX] [MIDDLE]"

_HERMES = "tools <tool_call>"
_THINKS = "enable_thinking <think> </think>"
_COMMAND = "tools enable_thinking tool_call_id <|START_ACTION|> <|START_THINKING|> <|END_THINKING|>"
_EXAONE_4 = f"tools <tool_call> <tool_result> {_THINKS}"
_GEMMA_4 = "tools enable_thinking <|tool_call>call: <|channel>thought <channel|>"
_LFM2_5 = "tools List of tools: [ keep_past_thinking <think> </think>"
_CALLS = "tool_calls <｜tool▁calls▁begin｜>"
_LLAMA_3 = "tools <|start_header_id|> parameters"

MODELS = (
    Published("CodeLlama-7b-hf", "llama", _CODE_LLAMA),
    Published("CodeLlama-7b-Python-hf", "llama"),
    Published("CodeLlama-13b-Instruct-hf", "llama", _CODE_LLAMA, "[INST] <<SYS>>"),
    Published("CodeLlama-70b-Instruct-hf", "llama", "<step>", "<step>"),
    Published("Llama-3.1-8B-Instruct", "llama", "", _LLAMA_3),
    Published("Llama-3.3-70B-Instruct", "llama", "", _LLAMA_3),
    Published("Hermes-3-Llama-3.1-8B", "llama", "", _HERMES),
    Published("DeepSeek-R1-Distill-Llama-8B", "llama", "", f"{_CALLS} ```json <think> </think>"),
    Published("SmolLM2-135M-Instruct", "llama", "", ""),
    Published("deepseek-coder-6.7b-base", "llama", _DEEPSEEK),
    Published("Seed-Coder-8B-Base", "llama", _SEED),
    Published("zeta-2", "llama", _SEED),
    Published("zeta-2.1", "llama", _SEED),
    Published("Mellum-4b-base", "llama", f"{_STARCODER} <filename> <reponame>"),
    Published("granite-8b-code-base-4k", "llama", f"{_STARCODER} <filename> <reponame>"),
    Published("Yi-Coder-9B", "llama", _STARCODER),
    Published("OpenCoder-8B-Base", "llama", _STARCODER),
    Published("Codestral-22B-v0.1", "mistral", _CODESTRAL),
    Published("Mistral-7B-Instruct-v0.3", "mistral", "", "tools [INST] [TOOL_CALLS]"),
    Published("Mistral-Nemo-Instruct-2407", "mistral", "", "tools [INST] [TOOL_CALLS]"),
    Published("Devstral-Small-2507", "mistral", "", "tools [INST] [TOOL_CALLS] [ARGS]"),
    Published("Mistral-Small-3.2-24B-Instruct-2506", "mistral", "",
              "tools [INST] [TOOL_CALLS] [ARGS]"),
    Published("Mixtral-8x7B-Instruct-v0.1", "mixtral", "", "[INST]"),
    Published("Qwen2.5-Coder-7B", "qwen2", _QWEN),
    Published("Qwen2.5-Coder-7B-Instruct", "qwen2", _QWEN, _HERMES),
    Published("Qwen2.5-7B-Instruct", "qwen2", _QWEN, _HERMES),
    Published("QwQ-32B", "qwen2", _QWEN, f"{_HERMES} {_THINKS}"),
    Published("DeepSeek-R1-Distill-Qwen-32B", "qwen2", "", f"{_CALLS} ```json <think> </think>"),
    Published("sweep-next-edit-v2-7B", "qwen2", f"{_QWEN} <|cursor|>"),
    Published("Qwen2-57B-A14B-Instruct", "qwen2_moe", "", ""),
    Published("Qwen3-8B", "qwen3", _QWEN, f"{_HERMES} {_THINKS}"),
    Published("Qwen3-30B-A3B", "qwen3_moe", _QWEN, f"{_HERMES} {_THINKS}"),
    Published("Laguna-XS-2.1", "laguna", "", f"tools <tool_call> <arg_key> tool_calls {_THINKS}"),
    Published("Mellum2-12B-A2.5B-Base", "mellum", f"{_STARCODER} <filename>"),
    Published("Qwen3-Coder-30B-A3B-Instruct", "qwen3_moe", _QWEN,
              "tools <tool_call> <function= tool_calls"),
    Published("Qwen3-Next-80B-A3B-Instruct", "qwen3_next", _QWEN, _HERMES),
    Published("Qwen3-Coder-Next", "qwen3_next", _QWEN, "tools <tool_call> <function= tool_calls"),
    Published("Qwen3.5-4B", "qwen3_5_text", _QWEN,
              f"tools <tool_call> <function= tool_calls {_THINKS}"),
    Published("Qwen3.5-27B", "qwen3_5_text", _QWEN,
              f"tools <tool_call> <function= tool_calls {_THINKS}"),
    Published("Qwen3.5-35B-A3B", "qwen3_5_moe_text", _QWEN,
              f"tools <tool_call> <function= tool_calls {_THINKS}"),
    Published("Qwen3.6-35B-A3B", "qwen3_5_moe_text", _QWEN,
              f"tools <tool_call> <function= tool_calls {_THINKS}"),
    Published("Phi-3.5-mini-instruct", "phi3", "", ""),
    Published("Phi-4-mini-instruct", "phi3", "", "message.tools <|tool|> <|/tool|>"),
    Published("Phi-4-mini-instruct, vLLM's template", "phi3", "", "tools functools"),
    Published("SmolLM3-3B", "smollm3", "", f"xml_tools <tool_call> {_THINKS}"),
    Published("Ministral-3-14B-Reasoning-2512", "ministral3", "",
              "tools [INST] [TOOL_CALLS] [ARGS] [THINK] [/THINK]"),
    Published("Devstral-Small-2-24B-Instruct-2512", "ministral3", "",
              "tools [INST] [TOOL_CALLS] [ARGS]"),
    Published("starcoder2-3b", "starcoder2", f"{_STARCODER} <repo_name> <file_sep>"),
    Published("starcoder", "gpt_bigcode", f"{_STARCODER} <filename> <reponame>"),
    Published("granite-20b-code-base-8k", "gpt_bigcode", f"{_STARCODER} <filename> <reponame>"),
    Published("granite-3.3-8b-instruct", "granite", f"{_STARCODER} <filename> <reponame>",
              "tools <|tool_call|> <|start_of_role|> thinking <think> </think>"),
    Published("granite-4.0-1b", "granite", _GRANITE_4, _HERMES),
    Published("granite-4.0-micro", "granitemoehybrid", _GRANITE_4, _HERMES, "granite"),
    Published("granite-4.0-h-tiny", "granitemoehybrid", _GRANITE_4, _HERMES),
    Published("granite-4.0-h-small", "granitemoehybrid", _GRANITE_4, _HERMES),
    Published("NVIDIA-Nemotron-Nano-9B-v2", "nemotron_h", "",
              "tools <TOOLCALL> tool_calls <think> </think>"),
    Published("NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "nemotron_h", "",
              f"tools <tool_call> <function= tool_calls {_THINKS}", "nemotron_h_moe"),
    Published("codegemma-2b", "gemma", _GEMMA),
    Published("codegemma-7b-it", "gemma", _GEMMA, ""),
    Published("gemma-2-2b-it", "gemma2", "", ""),
    Published("gemma-3-4b-it", "gemma3_text", "", ""),
    Published("gemma-4-E2B-it", "gemma4_text", "", _GEMMA_4),
    Published("gemma-4-E4B-it", "gemma4_text", "", _GEMMA_4),
    Published("gemma-4-12B-it", "gemma4_unified_text", "", _GEMMA_4),
    Published("gemma-4-26B-A4B-it", "gemma4_text", "", _GEMMA_4),
    Published("gemma-4-31B-it", "gemma4_text", "", _GEMMA_4),
    Published("granite-3.1-3b-a800m-instruct", "granitemoe",
              f"{_STARCODER} <filename> <reponame>", "tools <|tool_call|> <|start_of_role|>"),
    Published("moe-7b-1b-active-shared-experts", "granitemoeshared", ""),
    Published("OLMo-2-1124-7B-Instruct", "olmo2", "", ""),
    Published("Olmo-3-7B-Instruct", "olmo3", "", "tools tool_calls <function_calls> environment"),
    Published("Olmo-3-32B-Think", "olmo3", "", "<think> </think>"),
    Published("EXAONE-4.0-1.2B", "exaone4", "", _EXAONE_4),
    Published("EXAONE-4.0-32B", "exaone4", "", _EXAONE_4),
    Published("c4ai-command-r7b-12-2024", "cohere2", "", _COMMAND),
    Published("Seed-OSS-36B-Instruct", "seed_oss", "",
              "tools tool_calls <seed:tool_call> <function= <seed:think> </seed:think>"),
    Published("ERNIE-4.5-0.3B-PT", "ernie4_5", "", ""),
    Published("gpt-oss-20b", "gpt_oss", "",
              "tools reasoning_effort <|channel|>analysis<|message|> <|channel|>commentary "
              "<|call|>"),
    Published("ERNIE-4.5-21B-A3B-PT", "ernie4_5_moe", "", ""),
    Published("DeepSeek-Coder-V2-Lite-Base", "deepseek_v2", _DEEPSEEK),
    Published("DeepSeek-Coder-V2-Lite-Instruct", "deepseek_v2", _DEEPSEEK, ""),
    Published("DeepSeek-V3-0324", "deepseek_v3", _DEEPSEEK, f"{_CALLS} ```json"),
    Published("DeepSeek-R1-0528", "deepseek_v3", _DEEPSEEK, f"{_CALLS} ```json <think> </think>"),
    Published("DeepSeek-V3.1", "deepseek_v3", _DEEPSEEK, f"{_CALLS} thinking <think> </think>"),
    Published("Moonlight-16B-A3B-Instruct", "deepseek_v3", "", ""),
    Published("Youtu-LLM-2B", "youtu", "", f"{_HERMES} {_THINKS}"),
    Published("GLM-4-9B-0414", "glm4", _GLM, "tools <|observation|> metadata"),
    Published("GLM-4.5-Air", "glm4_moe", _GLM, f"tools <tool_call> <arg_key> {_THINKS}"),
    Published("GLM-4.6", "glm4_moe", _GLM, f"tools <tool_call> <arg_key> {_THINKS}"),
    Published("GLM-4.7-Flash", "glm4_moe_lite", _GLM, f"tools <tool_call> <arg_key> {_THINKS}"),
    Published("Apertus-8B-Instruct-2509", "apertus", "",
              "tools enable_thinking <|tools_prefix|> <|inner_prefix|>"),
    Published("LFM2-1.2B", "lfm2", "", "tools <|tool_list_start|>"),
    Published("LFM2-2.6B", "lfm2", "", "tools <|tool_list_start|>"),
    Published("LFM2.5-1.2B-Instruct", "lfm2", "", _LFM2_5),
    Published("LFM2-8B-A1B", "lfm2_moe", "", "tools <|tool_list_start|>"),
    Published("LFM2-24B-A2B", "lfm2_moe", "", _LFM2_5),
    Published("LFM2.5-8B-A1B", "lfm2_moe", "", "tools <|tool_call_start|> <think> </think>"),
)  # fmt: skip
