"""Sequences of ids with the tokens that a model wants around them."""

from __future__ import annotations

from collections.abc import Sequence

from halfbyte.hf.errors import ArgumentError
from halfbyte.hf.tokenizer_special import SpecialTokens


class SequenceTokens(SpecialTokens):
    """BOS before each sequence and EOS after it, as `add_bos_token` and `add_eos_token` say.

    A pair is two such sequences: the second has its own BOS.
    """

    add_bos_token = False
    add_eos_token = False
    model_max_length: int

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """The ids of a sequence, or of a pair, with BOS and EOS.

        Raises:
            RequestError: one of them is wanted, and there is no such token.
        """
        bos, eos = self._around()
        whole = [*bos, *token_ids_0, *eos]
        return whole if token_ids_1 is None else [*whole, *bos, *token_ids_1, *eos]

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for each token that `build_inputs_with_special_tokens` adds, 0 for the others.

        Where the ids have their special tokens already, 1 stands for every special token.

        Raises:
            RequestError: a second sequence, where the first has special tokens already.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise ArgumentError("token_ids_1", expected="None: the ids are one sequence")
            special = set(self.all_special_ids)
            return [int(i in special) for i in token_ids_0]
        bos, eos = [1] * self.add_bos_token, [1] * self.add_eos_token
        mask = [*bos, *[0] * len(token_ids_0), *eos]
        return mask if token_ids_1 is None else [*mask, *bos, *[0] * len(token_ids_1), *eos]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """0 for each token of the first sequence, 1 for the second, BOS and EOS included."""
        n_added = self.num_special_tokens_to_add()
        types = [0] * (n_added + len(token_ids_0))
        return types if token_ids_1 is None else types + [1] * (n_added + len(token_ids_1))

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many tokens `build_inputs_with_special_tokens` adds."""
        n_one = int(self.add_bos_token) + int(self.add_eos_token)
        return 2 * n_one if pair else n_one

    @property
    def max_len_single_sentence(self) -> int:
        """How many tokens a text may have, so that the model can take it."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """How many tokens a pair of texts may have together."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def update_post_processor(self) -> None:
        """Check that BOS and EOS exist where they are wanted; there is nothing to rebuild.

        Raises:
            RequestError: one is wanted, and there is no such token.
        """
        self._around()

    def _around(self) -> tuple[list[int], list[int]]:
        bos = self._wanted("bos_token", self.bos_token_id) if self.add_bos_token else []
        eos = self._wanted("eos_token", self.eos_token_id) if self.add_eos_token else []
        return bos, eos

    def _wanted(self, name: str, token_id: int | None) -> list[int]:
        if token_id is None:
            raise ArgumentError(
                f"add_{name}", expected=f"False where there is no {name}", got="True"
            )
        return [token_id]
