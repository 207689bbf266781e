"""The examples of transformers' Code Llama page, with only the import line changed.

The hub's repository that they name is served from this machine, with a small model in it. Code
Llama's own answers are longer: lengths are as on the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halfbyte import system
from halfbyte.models import catalogue

REPOSITORY = "meta-llama/CodeLlama-7b-hf"

PIPELINE = """
from halfbyte import pipeline

pipe = pipeline("text-generation", model="meta-llama/CodeLlama-7b-hf", dtype="auto", device_map=0)

# basic code generation
result = pipe("# Function to calculate the factorial of a number\\ndef factorial(n):", max_new_tokens=256)
print(result[0]['generated_text'])

# infilling
infill_result = pipe("def remove_non_ascii(s: str) -> str:\\n    \\"\\"\\" <FILL_ME>\\n    return result", max_new_tokens=200)
print(infill_result[0]['generated_text'])
"""  # noqa: E501

AUTO_MODEL = """
from halfbyte import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("meta-llama/CodeLlama-7b-hf")
model = AutoModelForCausalLM.from_pretrained(
    "meta-llama/CodeLlama-7b-hf",
    dtype="auto",
    device_map="auto",
    attn_implementation="sdpa"
)

# basic code generation
prompt = "# Function to calculate the factorial of a number\\ndef factorial(n):"
input_ids = tokenizer(prompt, return_tensors="np").to("cuda")

output = model.generate(
    **input_ids,
    max_new_tokens=256,
    cache_implementation="static"
)
print(tokenizer.decode(output[0], skip_special_tokens=True))

# infilling
infill_prompt = "def remove_non_ascii(s: str) -> str:\\n    \\"\\"\\" <FILL_ME>\\n    return result"
input_ids = tokenizer(infill_prompt, return_tensors="np").to(model.device)

filled_output = model.generate(**input_ids, max_new_tokens=200)
filled_text = tokenizer.decode(filled_output[0], skip_special_tokens=True)
print(filled_text)
"""

FIBONACCI = """
from halfbyte import AutoModelForCausalLM, AutoTokenizer, pipeline

pipe = pipeline(task="text-generation", model="meta-llama/CodeLlama-7b-hf", dtype="auto")
print(pipe("def fibonacci(n):")[0]["generated_text"])

tokenizer = AutoTokenizer.from_pretrained("meta-llama/CodeLlama-7b-hf")
model = AutoModelForCausalLM.from_pretrained("meta-llama/CodeLlama-7b-hf", dtype="auto")
inputs = tokenizer("def fibonacci(n):", return_tensors="np")
outputs = model.generate(**inputs, max_length=50)
print(tokenizer.decode(outputs[0], skip_special_tokens=True))
"""

MODEL_CARD = '''
from halfbyte import LlamaForCausalLM, CodeLlamaTokenizer

tokenizer = CodeLlamaTokenizer.from_pretrained("meta-llama/CodeLlama-7b-hf")
model = LlamaForCausalLM.from_pretrained("meta-llama/CodeLlama-7b-hf")
PROMPT = \'\'\'def remove_non_ascii(s: str) -> str:
    """ <FILL_ME>
    return result
\'\'\'
input_ids = tokenizer(PROMPT, return_tensors="np")["input_ids"]
generated_ids = model.generate(input_ids, max_new_tokens=128)

filling = tokenizer.batch_decode(generated_ids[:, input_ids.shape[1]:], skip_special_tokens = True)[0]
print(PROMPT.replace("<FILL_ME>", filling))
'''  # noqa: E501


@pytest.fixture
def hub(hub_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub that holds the packaged model under Code Llama's name."""
    pytest.importorskip("huggingface_hub")
    system.set_up_kernels()  # compiled code stays where it is
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    data = catalogue.resolve("infill-10m").read_bytes()
    hub_server.repositories[REPOSITORY] = hub_server.Repository({"model.gguf": data})


EXAMPLES = {
    "pipeline": (PIPELINE, ["# Function to calculate the factorial", "def remove_non_ascii"]),
    "auto_model": (AUTO_MODEL, ["# Function to calculate the factorial", "def remove_non_ascii"]),
    "fibonacci": (FIBONACCI, ["def fibonacci(n):", "def fibonacci(n):"]),
    "model_card": (MODEL_CARD, ["def remove_non_ascii(s: str) -> str:\n    "]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name: str, hub: None, capsys: pytest.CaptureFixture[str]) -> None:
    source, begins = EXAMPLES[name]
    exec(compile(source, f"<{name}>", "exec"), {})
    out = capsys.readouterr().out
    at = 0
    for begin in begins:
        at = out.find(begin, at)
        assert at >= 0, out
        at += len(begin)
    assert "<FILL_ME>" not in out or name == "pipeline"
    assert len(out) > 2 * sum(map(len, begins))
