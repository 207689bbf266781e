"""A conversation at a terminal, turn by turn. stdout gets the answers, stderr all else."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from halfbyte.cli import chat_input, output, streams
from halfbyte.cli.progress import BAR
from halfbyte.errors import ContextLengthError, RequestError, TemplateError, TokenizerError

if TYPE_CHECKING:
    from halfbyte.generation.chat_completion import Part
    from halfbyte.generation.completion import Completion
    from halfbyte.model import Model

_GREETING = """\
/help shows the commands, Ctrl-D leaves. A line that ends in \\ goes on in the next one;
lines between two lines of \"\"\" are one message."""

_HELP = """\
/reset  forget the conversation; a system message stays
/exit   leave, as Ctrl-D does
/help   show this
A line that ends in \\ goes on in the next one. Lines between two lines of \"\"\" are one message,
and may begin with a slash. Ctrl-C stops an answer; its beginning stays in the conversation."""


class CtrlC:
    """While it is entered, Ctrl-C waits for `check`; the second one does not.

    So an answer is stopped between two steps of the model and never within one.
    """

    def __init__(self) -> None:
        self._is_noted = False
        self._before: Any = None

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self._is_noted:
            raise KeyboardInterrupt

    def progress(self, stage: str, done: int, total: int) -> None:
        """The progress bar, which a long prompt calls between its steps."""
        BAR(stage, done, total)
        self.check()

    def __enter__(self) -> CtrlC:
        before = signal.getsignal(signal.SIGINT)
        # Only Python's main thread may, and only where Ctrl-C would have raised.
        if callable(before) and threading.current_thread() is threading.main_thread():
            self._before = before
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.check()
        self._is_noted = True


class Session:
    """A conversation with a model.

    Attributes:
        messages: what was said so far, the system message first if there is one.
    """

    def __init__(
        self, model: Model, messages: list[dict[str, str]], *, shows_stats: bool, **how: Any
    ) -> None:
        """Begin with `messages`; `how` are the arguments of every answer, see Model.chat."""
        self.messages = messages
        self._model, self._how, self._shows_stats = model, how, shows_stats
        self._n_first = len(messages)

    def run(self) -> None:
        """Answer until the user leaves.

        Raises:
            HalfbyteError: this model cannot chat, or not in this way.
        """
        self._check()
        streams.note(_GREETING)
        read_line = chat_input.line_reader()
        n_interrupts = 0
        while n_interrupts < 2:
            try:
                typed = chat_input.read(read_line)
                n_interrupts = 0
                if not self.take(typed):
                    return
            except EOFError:
                streams.say("")
                return
            except KeyboardInterrupt:
                n_interrupts += 1
                streams.say("\n(Ctrl-C again or Ctrl-D leaves)" if n_interrupts < 2 else "")
            except RequestError as error:
                streams.say(f"error: {error}")

    def take(self, typed: chat_input.Typed) -> bool:
        """Do what was typed; false where that is to leave."""
        if typed.is_command:
            return self._obey(typed.text.strip())
        if typed.text.strip():
            self._answer(typed.text)
        return True

    def _check(self) -> None:
        """Find out before the first turn what would go wrong in every turn."""
        from halfbyte.prompt.chat import chat_prompt

        turn = [*self.messages, message("user", "?")]
        chat_prompt(self._model.tokenizer, turn, format=self._how["format"])

    def _obey(self, command: str) -> bool:
        if command == "/reset":
            del self.messages[self._n_first :]
            streams.say("(a new conversation)")
        elif command == "/help":
            streams.say(_HELP)
        elif command != "/exit":
            streams.say(f"no command {command}; /help lists them, and how to send such a line")
        return command != "/exit"

    def _answer(self, text: str) -> None:
        """One turn: both messages stay, or after an error neither."""
        asked = [*self.messages, message("user", text)]
        pieces: list[str] = []
        done = None
        try:
            done = self._stream(asked, pieces)
        except KeyboardInterrupt:
            BAR.clear()
            output.write(["\n"])
            streams.say("(stopped)" if pieces else "(stopped; the message was dropped)")
        except ContextLengthError as error:
            streams.say(
                f"error: the conversation has become too long: {error.n_tokens} tokens, and the "
                f"context holds {error.n_ctx}; your message was dropped, /reset begins anew"
            )
        except (RequestError, TemplateError, TokenizerError) as error:
            streams.say(f"error: {error}\n(your message was dropped; /reset begins anew)")
        if done is not None or pieces:
            self.messages = [*asked, message("assistant", "".join(pieces))]
        if done is not None:
            self._comment(done)

    def _stream(self, asked: list[dict[str, str]], pieces: list[str]) -> Completion | None:
        with CtrlC() as ctrl_c:
            stream = self._model.stream_chat(asked, progress=ctrl_c.progress, **self._how)
            output.write(_kept(stream.parts(), pieces, ctrl_c), always_ends_line=True)
        return stream.completion

    def _comment(self, done: Completion) -> None:
        """Say what the answer itself does not."""
        if done.finish_reason == "length":
            streams.say(f"(cut after {len(done.tokens)} tokens; -n sets how many)")
        elif done.finish_reason == "context":
            streams.say("(cut: the context is full; /reset begins anew)")
        elif done.finish_reason in ("time", "banned"):
            flag = {"time": "--max-time", "banned": "--ban"}[done.finish_reason]
            streams.say(f"(cut by {flag})")
        elif not done.text:
            streams.say("(no answer)")
        if self._shows_stats:
            output.print_stats(self._model, done)


def message(role: str, content: str) -> dict[str, str]:
    """A message as templates want it."""
    return {"role": role, "content": content}


def _kept(parts: Iterable[Part], pieces: list[str], ctrl_c: CtrlC) -> Iterator[str]:
    """The pieces of the content, each remembered; a word while the model thinks."""
    is_told = False
    for part in parts:
        if part.kind == "content":
            pieces.append(part.text)
            yield part.text
        elif not is_told:
            is_told = True
            BAR.clear()
            streams.say("(thinking)")
        ctrl_c.check()
