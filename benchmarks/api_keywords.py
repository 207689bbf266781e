"""What docs/api.md says of the keywords of calls: what they are, their unit, whose names.

Types and defaults are read from the code (api_page.py); a keyword without a row here fails a test.
"""

from __future__ import annotations

# Group -> keyword -> (what it is, with unit and range; source or other names of it).
KEYWORDS: dict[str, dict[str, tuple[str, str]]] = {
    "Length, stops and seed": {
        "max_tokens": (
            "most tokens of an answer, from 0",
            "OpenAI; llama.cpp `n_predict`; transformers `max_new_tokens`",
        ),
        "stop": ("texts before which it ends", "OpenAI; transformers `stop_strings`"),
        "stop_tokens": (
            "ids before which it ends, besides the model's end tokens",
            "transformers `eos_token_id`; vLLM `stop_token_ids`",
        ),
        "stop_indent": (
            "ends before a line indented less than the cursor's, or than so many columns",
            "own",
        ),
        "stop_brackets": (
            "ends at a bracket that it did not open: before it (True), or behind",
            "own",
        ),
        "line_time": (
            "seconds from which on an answer of several lines ends with its line; None: no limit",
            "llama.cpp `t_max_predict_ms`",
        ),
        "seed": ("from 0; None draws one, which the result tells", "OpenAI; llama.cpp"),
    },
    "Samplers": {
        "temperature": ("divides the logits; 0 takes the most likely token", "OpenAI; llama.cpp"),
        "top_k": ("keeps so many tokens; 0: all", "Fan et al. 2018; llama.cpp; transformers"),
        "top_p": (
            "keeps tokens up to this probability, 0 to 1",
            "Holtzman et al. 2020; OpenAI; llama.cpp",
        ),
        "min_p": (
            "keeps tokens at least this share as likely as the likeliest, 0 to 1",
            "Nguyen et al. 2024; llama.cpp; transformers",
        ),
        "typical_p": (
            "keeps tokens of usual surprise up to this probability, 0 to 1",
            "Meister et al. 2022; llama.cpp `typ_p`; transformers",
        ),
        "top_h": (
            "keeps tokens up to this share of the entropy, 0 to 1; 1: all",
            "Potraghloo et al. 2025; transformers",
        ),
        "epsilon_cutoff": (
            "keeps tokens at least so likely, 0 to 1; 0: all",
            "Hewitt et al. 2022; transformers",
        ),
        "eta_cutoff": (
            "the same, with a lower bound where the model is unsure, 0 to 1; 0: all",
            "Hewitt et al. 2022; transformers",
        ),
        "top_n_sigma": (
            "keeps logits within so many standard deviations of the largest; 0: all",
            "Tang et al. 2024; llama.cpp",
        ),
        "xtc_probability": (
            "how often the likeliest are left out, 0 to 1",
            "Weidmann 2024; llama.cpp",
        ),
        "xtc_threshold": (
            "the probability from which they are, 0 to 1",
            "Weidmann 2024; llama.cpp",
        ),
        "dynatemp_range": (
            "the temperature lies so far above or below",
            "kalomaze 2023; llama.cpp",
        ),
        "dynatemp_exponent": ("of the entropy's share", "kalomaze 2023; llama.cpp"),
        "repetition_penalty": (
            "divides logits of tokens seen, 0.01 to 100; 1: none",
            "Keskar et al. 2019; transformers; llama.cpp `repeat_penalty`",
        ),
        "presence_penalty": ("subtracted from logits of tokens that came, -2 to 2", "OpenAI"),
        "frequency_penalty": ("the same times how often, -2 to 2", "OpenAI"),
        "penalty_window": (
            "last tokens at which the three look; None: all",
            "llama.cpp `repeat_last_n`",
        ),
        "dry_multiplier": (
            "what going on with a repetition costs; 0: nothing",
            "Weidmann 2024; llama.cpp",
        ),
        "dry_base": ("to the power of the length, 1 to 1000", "Weidmann 2024; llama.cpp"),
        "dry_allowed_length": ("tokens, from 1, that cost nothing", "Weidmann 2024; llama.cpp"),
        "dry_window": ("tokens looked back; None: all", "llama.cpp `dry_penalty_last_n`"),
        "dry_sequence_breakers": ("texts that no repetition reaches across", "llama.cpp"),
        "mirostat": ("0, 1 or 2", "Basu et al. 2021; llama.cpp"),
        "mirostat_tau": ("the target, bits", "Basu et al. 2021; llama.cpp `mirostat_ent`"),
        "mirostat_eta": (
            "how fast it is followed, 0 to 1",
            "Basu et al. 2021; llama.cpp `mirostat_lr`",
        ),
        "adaptive_target": (
            "probability that chosen tokens average, 0 to 1; None: off",
            "llama.cpp",
        ),
        "adaptive_decay": ("how long that average remembers, 0 to 0.99", "llama.cpp"),
        "samplers": ("which are applied, in order; None: as sampling.md has it", "llama.cpp"),
    },
    "Biases, bans and processors": {
        "logit_bias": (
            "added to logits of ids, or of texts that are one token, -1000 to 1000 or -inf",
            "OpenAI; llama.cpp",
        ),
        "min_tokens": (
            "tokens before the first that may end the answer",
            "transformers `min_new_tokens`; vLLM",
        ),
        "bad_words": ("sequences of tokens that never come whole", "transformers `bad_words_ids`"),
        "banned_strings": ("texts that never come, however spelled", "ExLlamaV2"),
        "logits_processor": (
            "`f(ids, row)`, or a list of them, which change logits",
            "transformers",
        ),
    },
    "What an answer has to be": {
        "json_schema": (
            "a schema that the answer's JSON meets",
            "llama.cpp; OpenAI `response_format`",
        ),
        "regex": ("what the whole answer matches (Rust's syntax)", "vLLM `guided_regex`"),
        "grammar": ("in Lark or GBNF", "llama.cpp; llguidance"),
        "choices": ("texts, one of which it is", "vLLM `guided_choice`"),
        "json_whitespace": ("whether blanks may stand between the parts of JSON", "llguidance"),
    },
    "Several answers": {
        "best_of": ("answers that are drawn, of which the best come back, to 128", "OpenAI"),
        "num_beams": ("branches of a beam search, 1 to 64; 1: none", "transformers"),
        "num_beam_groups": ("groups of beams", "Vijayakumar et al. 2016; transformers 4.55"),
        "diversity_penalty": (
            "log-probability that repeating another group's token costs",
            "transformers 4.55",
        ),
        "length_penalty": ("power of the length that divides scores, -100 to 100", "transformers"),
        "early_stopping": ("when a search ends", "transformers"),
    },
    "Probabilities": {
        "logprobs": (
            "tell each token's log-probability (nats) and those of so many likeliest, 0 to 256",
            "OpenAI",
        ),
        "logprobs_of": ("before rules and samplers, or after", "vLLM `logprobs_mode`"),
        "prompt_logprobs": ("the same of the prompt's tokens", "vLLM"),
        "echo": ("whether the result begins with the prompt", "OpenAI"),
    },
    "How a call is served": {
        "timeout": (
            "seconds until a TimeoutError that holds what there is; None: no limit",
            "OpenAI's Python package",
        ),
        "max_time": ("seconds until it ends with what there is; None: no limit", "transformers"),
        "priority": ("share of the steps beside callers of 1, 0.01 to 100", "own"),
        "cache_scope": (
            "whose memory it shares: a name, to 256 characters; None: everybody's (caches.md)",
            "own",
        ),
        "prediction": ("what the answer will mostly be: text or ids", "OpenAI `prediction`"),
        "lookup": (
            "texts or ids that it may repeat parts of",
            "Saxena 2023; transformers `prompt_lookup_num_tokens`",
        ),
        "speculate": ("whether anything is guessed; changes no answer", "Leviathan et al. 2023"),
        "adapter": (
            "a LoRA's name, (name, scale), or a list; None: those given to `load`",
            "Hu et al. 2021; peft",
        ),
    },
    "Of complete and infill": {
        "syntax": ("the language that the code has to parse in", "own"),
    },
    "Of complete": {
        "truncate": (
            (
                "what is left out of a prompt that does not fit beside its answer: its beginning "
                '("left") or what is between two halves ("middle"); None: that is an error'
            ),
            "own",
        ),
    },
    "Of infill": {
        "min_confidence": (
            "least probability of the first token, 0 to 1; below, nothing comes",
            "own",
        ),
        "confidence": ("whether the result tells probabilities", "own"),
        "trim_suffix": ("whether what repeats the suffix is cut", "own"),
        "single_line": ("whether it ends with its first line that is not blank", "own"),
        "reuse_answer": ("whether text typed along with an answer gets its rest", "own"),
    },
    "Of chat": {
        "tools": ("functions that may be called", "OpenAI; transformers' templates"),
        "tool_choice": ('"auto", "none", "required", or a name', "OpenAI"),
        "parallel_tool_calls": ("False: one call at most", "OpenAI"),
        "thinking": (
            "whether the model thinks first; None: as its template has it",
            "Qwen3 `enable_thinking`",
        ),
        "reasoning_budget": (
            "most tokens of thoughts, from 0; None: no limit",
            'Qwen3 "thinking budget"; llama.cpp',
        ),
        "reasoning_closing": ("what closes thoughts that reached it", "Qwen3"),
        "reasoning_effort": (
            "how much it thinks, in a word that its template reads; else refused",
            "OpenAI; gpt-oss' template",
        ),
    },
    "Of conversion": {
        "type": ("tensor type or mix of the file", "llama.cpp `llama-quantize`"),
        "pure": ("whether all matrices get that one type", "llama.cpp `--pure`"),
        "calibrate": ("a text that rounding goes by", "Frantar et al. 2022 (GPTQ)"),
        "imatrix": ("an importance matrix that rounding goes by", "llama.cpp `--imatrix`"),
        "save_imatrix": ("where to write one", "llama.cpp `llama-imatrix`"),
        "measure": ("whether what was lost is measured and recorded", "own"),
        "report": ("a page that shows it", "own"),
        "name": ("the model's name in the file", "GGUF `general.name`"),
        "adapter": ("LoRAs to merge: path, (path, scale), or a list", "peft `merge_and_unload`"),
        "drafts": ("keep layers that guess tokens further ahead", "llama.cpp `--no-mtp`"),
        "force": ("whether an existing file is replaced", "own"),
        "threads": ("that compute; None: the physical cores", "llama.cpp"),
    },
}

# Of parameters that no docstring describes.
PARAMETERS = {
    "adapters_of": {"adapter": "as in `complete`"},
    "chat_ids": {"messages": "as in `chat`"},
    "kv_nbytes": {"n_positions": "positions, tokens of prompt and answer together, from 0"},
    "load_cache": {"path": "a file of `save_cache`"},
    "save_cache": {"path": "the file to write"},
    "unload_adapter": {"name": "an adapter's"},
    "use_adapters": {"adapters": "names and scales"},
    "use_draft": {"other": "the model that guesses"},
    "logits": {"ids": "token ids", "adapter": "as in `complete`"},
    "run": {"requests": "made by hand", "terms": "how soon they are to be done"},
    "follow": {"requests": "made by hand", "terms": "how soon they are to be done"},
}
