"""What Prometheus reads: a registry of this server's own, under names that others know.

`halfbyte:` is followed by vLLM's name, where that has one for the same; `llamacpp:` names are those
of llama-server. docs/server.md has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from halfbyte.server.gate import Gate
from halfbyte.server.record import Record
from halfbyte.server.shelf import Shelf

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FIRST = (0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 20, 40, 80, 160)
_GAP = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 1, 2.5, 10)
_WHOLE = (0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 60, 120, 240, 480, 960)
_TOKENS = (1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)
_BY_MODEL = ("model_name",)


class Metrics:
    """Counts and times of one server; each method takes microseconds."""

    def __init__(self, shelf: Shelf, gate: Gate) -> None:
        self.registry = CollectorRegistry()
        self._shelf, self._gate = shelf, gate
        self._gaps: dict[str, Callable[[float], None]] = {}
        self._make_times()
        self._make_counts()
        self.registry.register(_Now(shelf, gate, self._sums))

    def _make_times(self) -> None:
        def times(name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(
                f"halfbyte:{name}", what, _BY_MODEL, buckets=buckets, registry=self.registry
            )

        self._first = times(
            "time_to_first_token_seconds", "From a request's arrival to its first piece.", _FIRST
        )
        self._gap = times(
            "inter_token_latency_seconds", "Between pieces of a stream, by piece.", _GAP
        )
        self._whole = times("e2e_request_latency_seconds", "Of whole requests.", _WHOLE)
        self._queued = times("request_queue_time_seconds", "Waiting for a place.", _WHOLE)
        self._prefill = times("request_prefill_time_seconds", "Processing prompts.", _WHOLE)
        self._decode = times("request_decode_time_seconds", "Writing answers.", _WHOLE)
        self._n_prompt = times("request_prompt_tokens", "Tokens of prompts.", _TOKENS)
        self._n_answer = times("request_generation_tokens", "Tokens of answers.", _TOKENS)

    def _make_counts(self) -> None:
        def count(name: str, what: str, labels: tuple[str, ...] = _BY_MODEL) -> Counter:
            return Counter(f"halfbyte:{name}", what, labels, registry=self.registry)

        self._requests = count("requests", "By route and status.", ("route", "status"))
        self._rejected = count("requests_rejected", "By reason.", ("reason",))
        self._cut = count("requests_cancelled", "Whose client left.", ("route",))
        self._success = count(
            "request_success", "Answers, by why they ended.", ("model_name", "finished_reason")
        )
        self._prompt = count("prompt_tokens", "Tokens of prompts.")
        self._generated = count("generation_tokens", "Tokens of answers.")
        self._known = count("prefix_cache_hits", "Tokens of prompts that were remembered.")
        self._asked = count("prefix_cache_queries", "Tokens of prompts that were looked for.")
        self._drafted = count("spec_decode_num_draft_tokens", "Tokens that were guessed.")
        self._accepted = count(
            "spec_decode_num_accepted_tokens", "Of these, those that were right."
        )
        self.mismatches = count(
            "prefix_cache_mismatches", "Prompts that left a remembered one only to come back.",
            ("model_name", "route"),
        )  # fmt: skip
        self._sums = {"prompt": 0.0, "prompt_s": 0.0, "answer": 0.0, "answer_s": 0.0}

    def gaps_of(self, model: str) -> Callable[[float], None]:
        """What counts the time between two pieces of a model's answer."""
        if model not in self._gaps:
            self._gaps[model] = self._gap.labels(model).observe
        return self._gaps[model]

    def count(self, record: Record) -> None:
        """A request is over."""
        self._requests.labels(record.route or "none", str(record.status)).inc()
        if record.is_cut:
            self._cut.labels(record.route or "none").inc()
        if record.error in ("rate_limit", "overloaded", "authentication", "permission", "timeout"):
            self._rejected.labels(record.error).inc()
        if not record.model:
            return
        if record.queued_s is not None:
            self._queued.labels(record.model).observe(record.queued_s)
        self._whole.labels(record.model).observe(record.total_s)
        if record.answers:
            self._count_answers(record)

    def _count_answers(self, record: Record) -> None:
        model, n_known = record.model, record.n_reused
        first_s = record.first_s
        if first_s is None:  # as a whole: it was there before it was sent
            first_s = max(record.total_s - record.decode_s, 0.0)
        self._first.labels(model).observe(first_s)
        for seen, value in (
            (self._prefill, record.prefill_s), (self._decode, record.decode_s),
            (self._n_prompt, record.n_prompt), (self._n_answer, record.n_answer),
        ):  # fmt: skip
            seen.labels(model).observe(value)
        for counted, n in (
            (self._prompt, record.n_prompt), (self._asked, record.n_prompt),
            (self._known, n_known), (self._generated, record.n_answer),
            (self._drafted, sum(one.stats.n_drafted for one in record.answers)),
            (self._accepted, sum(one.stats.n_accepted for one in record.answers)),
        ):  # fmt: skip
            counted.labels(model).inc(n)
        for one in record.answers:
            self._success.labels(model, one.finish_reason).inc()
        self._sums["prompt"] += record.n_prompt - n_known
        self._sums["prompt_s"] += record.prefill_s
        self._sums["answer"] += record.n_answer
        self._sums["answer_s"] += record.decode_s

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


class _Now(Collector):
    """What is as it is when it is asked for."""

    def __init__(self, shelf: Shelf, gate: Gate, sums: dict[str, float]) -> None:
        self._shelf, self._gate, self._sums = shelf, gate, sums

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        gate = self._gate
        for name, what, value in (
            ("halfbyte:num_requests_running", "Requests that are worked on.", gate.n_running),
            ("halfbyte:num_requests_waiting", "Requests that wait for a place.", gate.n_waiting),
            ("llamacpp:requests_processing", "Requests that are worked on.", gate.n_running),
            ("llamacpp:requests_deferred", "Requests that wait for a place.", gate.n_waiting),
        ):
            yield GaugeMetricFamily(name, what, value)
        yield from self._of_models()
        sums = self._sums
        for name, what, total in (
            ("prompt_tokens_total", "Tokens of prompts that were processed.", sums["prompt"]),
            ("prompt_seconds_total", "Seconds that took.", sums["prompt_s"]),
            ("tokens_predicted_total", "Tokens of answers.", sums["answer"]),
            ("tokens_predicted_seconds_total", "Seconds that took.", sums["answer_s"]),
        ):
            family = Metric(f"llamacpp:{name}", what, "counter")
            family.add_sample(f"llamacpp:{name}", {}, total)
            yield family
        for name, n, seconds in (
            ("prompt_tokens_seconds", sums["prompt"], sums["prompt_s"]),
            ("predicted_tokens_seconds", sums["answer"], sums["answer_s"]),
        ):
            rate = n / seconds if seconds else 0.0
            yield GaugeMetricFamily(f"llamacpp:{name}", "Tokens a second, on average.", rate)

    def _of_models(self) -> Iterator[Metric]:
        held = GaugeMetricFamily(
            "halfbyte:kv_cache_bytes",
            "Bytes of keys, values and states, remembered ones included.", labels=_BY_MODEL,
        )  # fmt: skip
        known = GaugeMetricFamily(
            "halfbyte:prefix_cache_bytes", "Bytes of remembered prompts.", labels=_BY_MODEL
        )
        used = GaugeMetricFamily(
            "halfbyte:kv_cache_usage_perc", "Of the keys and values that there is memory for, 0-1.",
            labels=_BY_MODEL,
        )  # fmt: skip
        states = GaugeMetricFamily(
            "halfbyte:state_bytes", "Of these, bytes of recurrent layers' states.", labels=_BY_MODEL
        )  # fmt: skip
        up = GaugeMetricFamily("halfbyte:model_loaded", "Whether it is loaded.", labels=_BY_MODEL)
        loaded = self._shelf.models()
        for name in self._shelf.names:
            up.add_metric([name], float(name in {one.name for one in self._shelf.loaded()}))
        for name, model in loaded.items():
            pages = model.engine.pages
            held.add_metric([name], pages.nbytes)
            states.add_metric([name], 0 if pages.states is None else pages.states.nbytes)
            known.add_metric([name], model.remembered_nbytes)
            most = pages.max_nbytes
            used.add_metric([name], pages.nbytes / most if most else 0.0)
        yield from (up, held, states, known, used)
