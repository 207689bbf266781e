"""`load`: from a path or a name to a model that is ready."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from halfbyte import settings, system
from halfbyte.call_arguments import check_progress, unknown_argument
from halfbyte.done_beside import done_beside
from halfbyte.engine.engine import Engine
from halfbyte.engine.footprint import (
    check_context,
    check_memory,
    memory_of,
    stays_on_disk,
    why_not_beside,
)
from halfbyte.engine.memory import needed_for
from halfbyte.engine.model_kernels import kernels_of
from halfbyte.engine.next_weights import with_shared
from halfbyte.engine.page_clearing import begun_nbytes, cleared_ahead
from halfbyte.engine.rooms import Rooms, weights_memory
from halfbyte.engine.weights import ModelWeights, load_weights
from halfbyte.engine_options import EngineOptions
from halfbyte.errors import RequestError
from halfbyte.families.attention_window import why_no_window, with_window
from halfbyte.families.config import MAX_CTX, ModelConfig
from halfbyte.families.context import check_ctx
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.families.left_out import left_out
from halfbyte.families.model_card import ModelCard
from halfbyte.families.next_layer import next_config
from halfbyte.families.registry import family_of, tensors_of
from halfbyte.families.tensors import check_tensors
from halfbyte.generation.model_hash import FileStamp
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.split import model_file
from halfbyte.import_lock import Later
from halfbyte.kernels.compiler import jit
from halfbyte.kernels.compiler.uninterrupted import leave_if_unwanted, uninterrupted
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.pool import Pool
from halfbyte.lazy_dataclass import dataclass
from halfbyte.lora.paths import AdapterPaths, adapter_paths
from halfbyte.methods.remembered import Remembered
from halfbyte.models import catalogue
from halfbyte.models.folder import converted
from halfbyte.progress import Progress, silent
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.same_ids import tokenizer_of

if TYPE_CHECKING:
    from halfbyte import model as answers
else:  # it takes as long to import as a small model's weights to be packed
    answers = Later("halfbyte.model")
log = logging.getLogger(__name__)
_TELL_AFTER_S = 1.0

_ARGUMENTS = (
    "threads", "ctx", "kv_type", "arithmetic", "attention_window", "attention_sinks", "type",
    "prompt_cache_bytes", "prompt_cache_dir", "prompt_cache_dir_bytes", "adapter", "draft",
    "progress",
)  # fmt: skip
# Names that other programs have, and what to do here.
_OTHERS = {
    **dict.fromkeys(("n_ctx", "num_ctx", "context_length", "max_model_len"), "it is ctx here"),
    **dict.fromkeys(("n_threads", "num_threads"), "it is threads here"),
    **dict.fromkeys(("window_length", "sliding_window"), "it is attention_window here"),
    **dict.fromkeys(("num_sink_tokens", "n_sinks"), "it is attention_sinks here"),
    **dict.fromkeys(("cache_type", "type_k", "type_v"), "it is kv_type here, for both"),
    **dict.fromkeys(("dtype", "torch_dtype"), "weights keep the types of the file"),
    **dict.fromkeys(("draft_model", "assistant_model"), "a model that guesses: it is draft here"),
    **dict.fromkeys(("device", "device_map", "n_gpu_layers"), "halfbyte computes on the CPU"),
    **dict.fromkeys(("lora", "lora_path", "adapters", "adapter_path"), "it is adapter here"),
    "verbose": "halfbyte reports through logging and progress=",
}


def load(
    path_or_name: str | os.PathLike[str],
    *,
    threads: int | None = None,
    ctx: int | None = None,
    kv_type: Literal["f16", "f32", "int8", "int4"] = "f16",
    arithmetic: Literal["int8", "bf16"] = "int8",
    attention_window: int | None = None,
    attention_sinks: int | None = None,
    type: str | None = None,
    prompt_cache_bytes: int | None = None,
    prompt_cache_dir: str | os.PathLike[str] | None = None,
    prompt_cache_dir_bytes: int = 8 << 30,
    adapter: AdapterPaths = None,
    draft: str | os.PathLike[str] | Literal[False] | None = None,
    progress: Progress | None = None,
    **unknown: NoReturn,
) -> answers.Model:
    """Load a model.

    Args:
        path_or_name: a .gguf file (any of a split model's), a folder with one, a Hugging Face
            folder, converted into the cache, or a catalogue's name, pulled; both on first use.
        threads: worker threads; default: physical cores that this process may use.
        ctx: context in tokens; default: what the model was trained with, beyond which it warns.
        kv_type: "f16", "f32", "int8" or "int4", how keys and values are stored (docs/caches.md).
        arithmetic: "int8" or "bf16", how weights and activations meet (docs/numerics.md).
        attention_window: last positions that are seen, if not all (docs/attention-window.md).
        attention_sinks: first ones that are seen beside them; default: 4.
        type: what a folder is converted to, see `convert`; default: "q8_0".
        prompt_cache_bytes: of what is remembered in memory, 0: nothing; default: docs/caches.md.
        prompt_cache_dir: a folder for what falls out of memory, found again by later processes.
        prompt_cache_dir_bytes: of all files in it.
        adapter: LoRAs of calls that name none: path, (path, scale), or a list; see load_adapter.
        draft: a smaller model that guesses (docs/speculation.md); None: its own layer; False: none.
        progress: called with (stage, done, total), mostly in another thread; else the log warns.
        **unknown: names that are refused with the one that was meant.

    Raises:
        RequestError: an argument is out of range or unknown, or a model's name or vocabulary is.
        ModelFileError, ConversionError, DownloadError: a file cannot be used, made or pulled.
        CacheFileError, SettingError: prompt_cache_dir or an environment variable cannot be used.
        EngineError: there is not enough memory, or too few threads can be started.
    """
    adapters = _check_arguments(unknown, progress, adapter)
    how = EngineOptions.of(threads, kv_type, arithmetic, attention_window, attention_sinks)
    kept = Remembered.of(prompt_cache_bytes, prompt_cache_dir, prompt_cache_dir_bytes)
    paths = _paths_of(path_or_name, draft, type, progress)
    with needed_for(f"loading {paths[0]}"):
        return _adapted(_guarded(_load, paths, how, ctx, kept, progress, draft is None), adapters)


def _paths_of(
    model: str | os.PathLike[str],
    draft: str | os.PathLike[str] | Literal[False] | None,
    type_name: str | None,
    progress: Progress | None,
) -> list[Path]:
    """The files of a model and of one that guesses for it, if one is given."""
    paths = [_file_of(model, type_name, progress)]
    if draft is not None and draft is not False:
        paths.append(_file_of(draft, None, progress))
    return paths


def _check_arguments(
    unknown: Mapping[str, object], progress: object, adapter: AdapterPaths
) -> list[tuple[str, float]]:
    """The adapters that are to be used; nothing else may be unknown."""
    check_progress(progress)
    for argument in unknown:
        raise unknown_argument(argument, _ARGUMENTS, _OTHERS, what="an argument of load")
    return adapter_paths(adapter)


def _adapted(model: answers.Model, adapters: list[tuple[str, float]]) -> answers.Model:
    """The model with these adapters in use."""
    try:
        model.use_adapters([(model.load_adapter(path), scale) for path, scale in adapters])
    except BaseException:
        model.close()
        raise
    return model


def _guarded(work: Callable[..., answers.Model], *given: Any) -> answers.Model:
    """What `work` returns, from a thread that no signal interrupts, with the caller's context."""
    context = copy_context()
    return uninterrupted(lambda: context.run(work, *given))


@dataclass(frozen=True, slots=True)
class _Checked:
    """A file that can be loaded, and what it says."""

    file: GGUFFile
    config: ModelConfig

    @classmethod
    def open(
        cls, files: ExitStack, path: Path, how: EngineOptions, *, guesses: bool = False
    ) -> _Checked:
        """Nothing of its weights is read yet. One that guesses has a window where it can."""
        file = files.enter_context(GGUFFile.open(path))
        config = config_from_gguf(file)
        others = left_out(file.tensors, file.path, family_of(config), config)
        check_tensors(file, tensors_of(config), others)
        check_memory(file, config, how.kv_type, how.n_threads)
        if guesses and how.window and (why := why_no_window(config)):
            log.info("%s: guesses within its own context: %s", path, why)
            return cls(file, config)
        return cls(file, with_window(config, how.window, how.sinks))

    def own_layer(self, how: EngineOptions) -> list[_Checked]:
        """The file's layer that guesses for it, if there is one, and room for it."""
        if not self.config.n_next:
            return []
        layer, left = next_config(self.config), _available_memory()
        why = why_not_beside(self.file, self.config, layer, how.kv_type, how.n_threads, left)
        if why:
            log.warning("%s: its layer that guesses %s, and is not used", self.file.path, why)
            return []
        return [_Checked(self.file, layer)]


def _load(
    paths: Sequence[Path],
    how: EngineOptions,
    ctx: object,
    remembered: Remembered,
    progress: Progress | None,
    guesses: bool,
) -> answers.Model:
    """The model of the first file, with that of a second one, or a layer of its own, to guess."""
    begin = time.perf_counter()
    with ExitStack() as files:
        checked = [_Checked.open(files, p, how, guesses=i > 0) for i, p in enumerate(paths)]
        own = checked[0]
        checked += own.own_layer(how) if guesses else []
        n_ctx = check_ctx(ctx, own.config)
        # Pages are taken as they are needed: a default promises nothing, but for a window's.
        if ctx is not None or how.window:
            left = _available_memory()
            check_context(own.file, own.config, how.kv_type, n_ctx, how.n_threads, left)
        rooms = _rooms(checked, how, PAGE if ctx is None else n_ctx)
        for each in rooms:
            files.enter_context(cleared_ahead(each.memory))
        vocabularies = list(dict.fromkeys(each.file for each in checked))
        tokenizer = files.enter_context(done_beside(lambda: tokenizer_of(vocabularies)))
        if len(paths) > 1:
            tokenizer.result()  # that of what guesses may be another one
        report = _reporting(progress, tokenizer)
        card = ModelCard.from_gguf(own.file)
        stamps = [FileStamp.of(name) for name in own.file.paths]
        system.set_up_kernels()
        _compile(checked, how, report, is_shown=progress is not None)
        files.enter_context(done_beside(lambda: answers.Model))
        pool = system.start_pool(how.n_threads)
        try:
            weights = _weights(own, rooms[0], pool, report, "load", how.arithmetic)
            engine = Engine(own.config, weights, pool, how.kv_type, n_ctx)
            draft = None
            for guest, room in zip(checked[1:], rooms[1:], strict=True):
                weights = _weights(guest, room, pool, report, "load draft", how.arithmetic)
                beside = _beside(engine, guest, weights)
                draft = remembered.draft_model(beside, engine)
            prompts = remembered.memory(engine, stamps)
            words, load_s = tokenizer.result(), time.perf_counter() - begin
            return answers.Model(paths[0], own.config, words, engine, load_s, card, prompts, draft)
        except BaseException:
            pool.close()
            raise


def _reporting(progress: Progress | None, tokenizer: Future[Tokenizer]) -> Progress:
    """Tells of progress; ends the loading that nobody wants, or whose vocabulary cannot be used."""

    def report(stage: str, done: int, total: int) -> None:
        leave_if_unwanted()
        if tokenizer.done():
            tokenizer.result()
        (progress or silent)(stage, done, total)

    return report


def _beside(engine: Engine, guest: _Checked, weights: ModelWeights) -> Engine:
    """The engine of what guesses for another one's model."""
    config = guest.config
    if config.next_layer:
        by_merges = guest.file.metadata.get_str("tokenizer.ggml.model", "") == "gpt2"
        config, weights = with_shared(weights, engine.weights, config, by_merges=by_merges)
    n_ctx = min(engine.n_ctx, MAX_CTX if config.attention_window else config.n_ctx_train)
    return engine.beside(config, weights, engine.layout.kv_type, n_ctx)


def _rooms(models: Sequence[_Checked], how: EngineOptions, n_ctx: int) -> list[Rooms]:
    """Where weights will lie; of experts, where memory cannot hold them, in a file of the cache."""
    left, rooms = _available_memory(), list[Rooms]()
    for model in models:
        file, config, disk = model.file, model.config, None
        if config.experts is not None:
            need = memory_of(file, config, how.kv_type, n_ctx, how.n_threads)
            if stays_on_disk(need, left):
                disk = settings.cache_dir()
                log.warning(
                    "%s: %.1f GB of experts do not fit memory and are read from %s as they are "
                    "used, which is slow", file.path, need.experts / 1e9, disk,
                )  # fmt: skip
        rooms.append(weights_memory(file, config, disk))
        if left is not None:
            left -= rooms[-1].memory.nbytes
            rooms[-1].lets_go = left < file.nbytes
    return rooms


def _available_memory() -> int | None:
    """Bytes that weights and all else may take, some of which may be taken for them already."""
    left = system.available_memory()
    return None if left is None else left + begun_nbytes()


def _weights(
    checked: _Checked, rooms: Rooms, pool: Pool, report: Progress, stage: str, arithmetic: str
) -> ModelWeights:
    def progress(done: int, total: int) -> None:
        report(stage, done, total)

    return load_weights(checked.file, checked.config, rooms, pool, progress, arithmetic)


def _file_of(
    path_or_name: str | os.PathLike[str], type_name: str | None, progress: Progress | None
) -> Path:
    path = model_file(catalogue.resolve(path_or_name, progress=progress))
    if path.is_dir():
        return converted(path, type_name or "q8_0", progress or silent)
    if type_name is not None:
        expected = "None: only a folder is converted"
        raise RequestError("type", expected=expected, got=repr(type_name))
    return path


def _compile(
    models: Sequence[_Checked], how: EngineOptions, progress: Progress, *, is_shown: bool
) -> None:
    files = [(model.file, model.config) for model in models]
    kernels = kernels_of(files, how.kv_type, how.arithmetic)
    begin, told = time.perf_counter(), False

    def report(done: int, total: int) -> None:
        nonlocal told
        progress("compile", done, total)
        if not told and done < total and time.perf_counter() - begin > _TELL_AFTER_S:
            told = True
            # Without a progress callback the log is the only voice, and shows only warnings.
            level = logging.INFO if is_shown else logging.WARNING
            log.log(level, "compiling kernels for this CPU, once: %d of %d are done", done, total)

    left = system.available_memory()
    n_processes = jit.MAX_PROCESSES if left is None else left // 2 // jit.PROCESS_NBYTES
    compiled = jit.compile_all(kernels, report, min(n_processes, jit.MAX_PROCESSES))
    if compiled:
        log.info("compiled %d kernels in %.1f s", compiled, time.perf_counter() - begin)
