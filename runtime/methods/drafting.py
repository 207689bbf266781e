"""Another model that guesses, for one that is loaded already."""

from __future__ import annotations

from halfbyte import system
from halfbyte.engine.engine import Engine
from halfbyte.generation.scheduler import Scheduler
from halfbyte.generation.speculation.draft_model import DraftModel
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.same_ids import check_same_ids


class DraftingModel:
    """A model that may have another one guess what its answers say.

    Attributes:
        draft: the one that does; None where none does.
    """

    engine: Engine
    scheduler: Scheduler
    tokenizer: Tokenizer
    draft: DraftModel | None

    def use_draft(self, other: DraftingModel) -> None:
        """Have another loaded model guess from now on (docs/speculation.md).

        Its weights are shared: it stays usable, and may be closed.

        Raises:
            RequestError: its vocabulary is another one.
            EngineError: a model is closed, the process was forked, or memory is short.
        """
        other.engine.check_open()
        weights = other.engine.weights
        if self.draft is not None and self.draft.engine.weights is weights:
            return
        check_same_ids(self.tokenizer, other.tokenizer, "draft")

        def change() -> None:
            engine, given = self.engine, other.engine
            n_ctx = min(engine.n_ctx, given.n_ctx)
            guest = engine.beside(given.config, weights, given.layout.kv_type, n_ctx)
            try:
                draft = DraftModel.of(guest, engine, system.available_memory)
                self.scheduler.use_draft(draft)
            except BaseException:  # its memory would stay until this model is closed
                guest.close()
                raise
            before, self.draft = self.draft, draft
            if before is not None:
                before.engine.close()

        self.scheduler.between_steps(change)
