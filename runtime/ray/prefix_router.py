"""A router of Ray Serve that sends a prompt to where its beginning is remembered.

Ray's own prefix-aware router cannot be imported without a runtime for GPUs. The interface is
https://docs.ray.io/en/latest/serve/advanced-guides/custom-request-router.html.
"""

from __future__ import annotations

from typing import Any

from ray.serve.request_router import (
    FIFOMixin,
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

from halfbyte.ray.prefixes import Seen, ranked


class PrefixRouter(FIFOMixin, RequestRouter):  # type: ignore[misc]  # Ray is not there for mypy
    """Chooses by the keyword `prefix` of a call: the digests of its prompt (prefixes.py)."""

    def initialize_state(self, n_most: int = 100_000, most_more: int = 4) -> None:
        """Begin.

        Args:
            n_most: beginnings that are kept for each replica.
            most_more: requests that a replica may have more than the least busy one to be chosen
                for what it remembers.
        """
        self._seen, self._most_more = Seen(n_most), most_more

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """See RequestRouter."""
        prompt = _prefix(pending_request)
        loads = {r: self.replica_queue_len_cache.get(r.replica_id) or 0 for r in candidate_replicas}
        known = {r: self._seen.n_known(r.replica_id, prompt) for r in candidate_replicas}
        return ranked(loads, known, self._most_more)

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any
    ) -> None:
        """See RequestRouter."""
        self._seen.add(replica_id, _prefix(pending_request))

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """See RequestRouter."""
        super().update_replicas(replicas)
        self._seen.keep({replica.replica_id for replica in replicas})


def _prefix(request: PendingRequest | None) -> list[bytes]:
    return [] if request is None else request.kwargs.get("prefix") or []
