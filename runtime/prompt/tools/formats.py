"""Which way of calling functions a chat template asks for."""

from __future__ import annotations

from halfbyte.errors import UnsupportedModelError
from halfbyte.prompt.tools.apertus_calls import Apertus
from halfbyte.prompt.tools.call_format import CallFormat
from halfbyte.prompt.tools.command_calls import Command
from halfbyte.prompt.tools.deepseek_calls import DeepSeek, DeepSeekV3
from halfbyte.prompt.tools.dsml import Dsml
from halfbyte.prompt.tools.exaone_calls import Exaone4
from halfbyte.prompt.tools.firefunction import Firefunction
from halfbyte.prompt.tools.gemma4_calls import Gemma4
from halfbyte.prompt.tools.generic import Generic
from halfbyte.prompt.tools.glm import Glm
from halfbyte.prompt.tools.glm4_calls import Glm4
from halfbyte.prompt.tools.granite_calls import Granite
from halfbyte.prompt.tools.harmony import Harmony
from halfbyte.prompt.tools.hermes import Hermes
from halfbyte.prompt.tools.lfm2_calls import Lfm2
from halfbyte.prompt.tools.llama3 import Llama3
from halfbyte.prompt.tools.mistral import Mistral, NamedMistral
from halfbyte.prompt.tools.nemotron_calls import Nemotron
from halfbyte.prompt.tools.olmo3_calls import Olmo3
from halfbyte.prompt.tools.phi4 import Phi4
from halfbyte.prompt.tools.qwen3_coder import Qwen3Coder
from halfbyte.prompt.tools.seed_oss_calls import SeedOss

GENERIC = Generic()
# The first whose texts all stand in the template; of a way that is not known here, whose it is.
ASKED: tuple[tuple[tuple[str, ...], CallFormat | str], ...] = (
    (("<|channel|>commentary", "<|call|>"), Harmony()),
    (("｜DSML｜", "function_calls>"), Dsml()),
    (("<｜tool▁calls▁begin｜>", "```json"), DeepSeekV3()),
    (("<｜tool▁calls▁begin｜>",), DeepSeek()),
    (("<|tools_prefix|>",), Apertus()),
    (("<|START_ACTION|>", "tool_call_id"), Command()),
    (("<|tool_call>call:",), Gemma4()),
    (("[TOOL_CALLS]", "[ARGS]"), NamedMistral()),
    (("[TOOL_CALLS]",), Mistral()),
    (("<tool_calls>",), "Apriel's"),
    (("<seed:tool_call>",), SeedOss()),
    (("<tool_call>", "<function="), Qwen3Coder()),
    (("<tool_call>", "<arg_key>"), Glm()),
    (("<tool_call>", "<invoke"), "MiniMax'"),
    (("<tool_call>", "<tool_result>"), Exaone4()),
    (("<tool_call>",), Hermes()),
    (("<|tool_call|>", "<|start_of_role|>"), Granite()),
    (("<TOOLCALL>",), Nemotron()),
    (("<|observation|>", "metadata"), Glm4()),
    (("<|tool_call_start|>",), Lfm2()),
    (("<|tool_list_start|>",), Lfm2()),
    (("List of tools: [", "keep_past_thinking"), Lfm2()),
    (("functools",), Firefunction()),
    (("<|tool|>", "<|/tool|>"), Phi4()),
    (("<function_calls>", "environment"), Olmo3()),
    (("<function=",), "Functionary's"),
    ((">>>", "<|start_header_id|>"), "Functionary's"),
    (("<|start_header_id|>", "parameters"), Llama3()),
)
KNOWN = {known.name: known for _, known in ASKED if isinstance(known, CallFormat)}


def format_of(template: str, path: str) -> CallFormat:
    """How a model calls functions whose template, of the file `path`, lists them.

    Raises:
        UnsupportedModelError: in a way that is not known here.
    """
    got = "another way"
    for texts, known in ASKED:
        if all(text in template for text in texts):
            if isinstance(known, CallFormat):
                return known
            got = f"{known} way"
            break
    raise UnsupportedModelError(
        path,
        "tokenizer.chat_template",
        expected=f"calls of tools as one of these writes them: {', '.join(KNOWN)}",
        got=got,
        hint="this model's tools cannot be used here yet; chat without tools works",
    )
