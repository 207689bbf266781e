"""Chat templates: a model file's Jinja source, rendered with bounded work and memory.

The source comes with a downloaded file, so nobody has to have read it. Jinja's sandbox keeps a
template from reaching Python's internals but not from looping or doubling a text for ever. Here
every rendering has a budget of units of work, and no thread, signal or process watches over it:

- the source's size and nesting are checked before it is parsed, compiled or folded;
- the syntax tree is rewritten: a loop pays for its body at each turn and a macro at each call, by
  the number of nodes, and operations that Jinja compiles to bare Python become checked filters;
- operators, attributes, items, calls, filters and tests take allow-listed types and names, and pay
  for the size of what they read and what they would make before they make it;
- what is passed in becomes plain data first, so that no other code can be reached;
- the text may be no longer than a megabyte and some times what was passed in.

Texts remember which characters the template wrote (text.py), so that a message's text is no special
token, wherever it ends up. What tojson writes, and the text of numbers, lists and mappings, counts
as given.

A unit stands for less than a microsecond, or 32 bytes. Renders as transformers does (trim_blocks,
lstrip_blocks, loop controls, tojson without HTML escapes, raise_exception, strftime_now), except:
`safe` and `escape` give plain text; blocks, includes, recursive loops, autoescape and *args are
refused, as are filters and methods outside the lists in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Template, TemplateSyntaxError

from halfbyte.errors import RequestError, TemplateError
from halfbyte.prompt.template.budget import Budget, OverBudget
from halfbyte.prompt.template.functions import Refusal
from halfbyte.prompt.template.plain_data import PlainData
from halfbyte.prompt.template.sandbox import Sandbox
from halfbyte.prompt.template.source import CODE_NAME, compile_source
from halfbyte.prompt.template.text import Text, mask_of, own, plain

WORK = 3_000_000  # units for any rendering: about a second
WORK_PER_INPUT = 20  # units more for each unit that the messages and variables measure
MAX_LENGTH = 1 << 20  # characters that any rendering may have
LENGTH_PER_INPUT = 100  # characters more for each unit of input: six times the messages
# What the vocabulary says in a template, which may be special tokens.
_VOCABULARYS = frozenset(f"{name}_token" for name in "bos eos unk pad sep cls mask".split())
# A caller's program chooses a role by its name, from which a template may make a special token.
_ROLES = frozenset(
    "system user assistant tool developer function ipython model observation context".split()
)
MAX_REASON = 1_000  # characters

_FIELD = "tokenizer.chat_template"


class ChatTemplate:
    """A compiled chat template; safe to share between threads.

    Args:
        source: Jinja source, which need not be trusted.
        path: the file that it comes from, for errors.

    Attributes:
        variables: names of what it reads.

    Raises:
        TemplateError: it does not compile, is too large or nested too deeply, or uses what a chat
            template may not.
    """

    def __init__(self, source: str, *, path: str = "") -> None:
        self._path = path
        try:
            self._code, self._weight, self.variables = compile_source(source, Sandbox(Budget(0)))
            return
        except Exception as caught:
            error = self._error("a Jinja chat template that compiles", caught, None)
        raise error  # outside the handler, so that no traceback keeps the compiler's frames

    def render(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        add_generation_prompt: bool = True,
        **variables: object,
    ) -> str:
        """The conversation as text; see render_text."""
        text = self.render_text(messages, add_generation_prompt=add_generation_prompt, **variables)
        return plain(text)

    def render_text(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        add_generation_prompt: bool = True,
        **variables: object,
    ) -> Text:
        """The conversation as text that remembers what the template wrote.

        Its own are what stands in its source, bos_token and its kin, and the usual roles.

        Args:
            messages: mappings of plain data: texts, numbers, None, lists and mappings.
            add_generation_prompt: whether the text ends with what makes the model answer.
            variables: what else the template reads, bos_token or tools for one; plain data too.

        Raises:
            RequestError: the template calls raise_exception, or a value is not plain data.
            TemplateError: the template fails, does more than a template may, or says it at more
                length.
        """
        given = {"messages": messages, "add_generation_prompt": add_generation_prompt, **variables}
        data = PlainData()
        context = {name: data.copy(value, name) for name, value in given.items()}
        _mark_own(context)
        budget = Budget(WORK + WORK_PER_INPUT * data.units)
        sandbox = Sandbox(budget)
        template = Template.from_code(sandbox, self._code, sandbox.make_globals(None))
        error: RequestError | TemplateError
        try:
            budget.spend(self._weight)
            text = sandbox.concat(template.root_render_func(template.new_context(context)))
            _check_length(text, MAX_LENGTH + LENGTH_PER_INPUT * data.units)
            return Text(text, mask_of(text))
        except Refusal as refusal:
            error = RequestError(
                "messages", expected="what the model's chat template accepts", got=str(refusal)
            )
        except Exception as caught:
            error = self._error("a chat template that renders", caught, template)
        raise error

    def _error(self, expected: str, caught: Exception, template: Template | None) -> TemplateError:
        if isinstance(caught, (OverBudget, TooLong)):
            expected, got = "a chat template that does a bounded amount of work", "more"
            if isinstance(caught, TooLong):
                expected, got = f"a chat template that renders {caught}", "more"
            hint = "the file may be hostile; a conversation of thousands of messages may be split"
        else:
            # A syntax error's text repeats the line.
            text = caught.message if isinstance(caught, TemplateSyntaxError) else str(caught)
            got = f"{type(caught).__name__}: {str(text)[:MAX_REASON]}"
            hint = "pass another chat template, or a prompt without one"
        line = _line(caught, template)
        return TemplateError(
            self._path, _FIELD, expected=expected, hint=hint,
            got=f"{got} (line {line})" if line else got,
        )  # fmt: skip


class TooLong(Exception):
    """The text has more characters than a template may make of what it was given."""


def _check_length(text: str, limit: int) -> None:
    if len(text) > limit:
        raise TooLong(f"at most {limit} characters here")


def _mark_own(context: dict[str, Any]) -> None:
    """Marks what counts as the template's own among what is passed in."""
    for name in _VOCABULARYS & context.keys():
        if isinstance(context[name], str):
            context[name] = own(context[name])
    messages = context["messages"]
    for message in messages if isinstance(messages, list) else ():
        role = message.get("role") if isinstance(message, dict) else None
        if isinstance(role, str) and role in _ROLES:
            message["role"] = own(role)


def _line(error: Exception, template: Template | None) -> int | None:
    """The template's line that an error comes from, if it is known."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, traceback = None, error.__traceback__
    while traceback is not None and template is not None:
        if traceback.tb_frame.f_code.co_filename == CODE_NAME:
            line = template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return line
