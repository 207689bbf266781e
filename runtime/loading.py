"""`load`: from a path or a name to a model that is ready."""

from __future__ import annotations

import logging
import os
import time

from halfbyte import system
from halfbyte.engine.engine import Engine
from halfbyte.engine.kv_cache import check_kv_type
from halfbyte.engine.memory import check_memory
from halfbyte.engine.program import kernels_for
from halfbyte.engine.weights import load_weights, panel_format
from halfbyte.errors import RequestError
from halfbyte.families.config import ModelConfig
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.families.registry import family_of
from halfbyte.families.tensors import check_tensors
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.compiler import jit
from halfbyte.kernels.pool import Pool
from halfbyte.model import Model
from halfbyte.models import catalogue
from halfbyte.models.folder import converted
from halfbyte.progress import Progress, silent
from halfbyte.settings import MAX_THREADS
from halfbyte.tokenizer import Tokenizer

log = logging.getLogger(__name__)


def load(
    path_or_name: str | os.PathLike[str],
    *,
    threads: int | None = None,
    ctx: int | None = None,
    kv_type: str = "f16",
    type: str | None = None,
    progress: Progress | None = None,
) -> Model:
    """Load a model.

    Args:
        path_or_name: a .gguf file, a Hugging Face folder, which is converted into the cache on
            first use, or a name of the catalogue, which is pulled on first use.
        threads: worker threads; default: physical cores that this process may use.
        ctx: context in tokens; default: the length that the model was trained with. More than
            that is allowed and warned about.
        kv_type: "f16" or "f32", how keys and values are stored.
        type: what a folder is converted to, see `convert`; default: "q8_0".
        progress: called with (stage, done, total) while pulling, converting, compiling and
            loading.

    Raises:
        RequestError: an argument is out of range, or the name is unknown.
        ModelFileError: the file is missing, broken or not supported.
        ConversionError: the folder cannot be converted.
        DownloadError: the model could not be pulled.
        SettingError: an environment variable cannot be used.
    """
    report = progress or silent
    n_threads = _check_threads(threads)
    check_kv_type(kv_type)
    path = catalogue.resolve(path_or_name, progress=progress)
    if path.is_dir():
        path = converted(path, type or "q8_0", report)
    elif type is not None:
        raise RequestError("type", expected="None: only a folder is converted", got=repr(type))
    begin = time.perf_counter()
    with GGUFFile.open(path) as file:
        config = config_from_gguf(file)
        n_ctx = _check_ctx(ctx, config)
        check_tensors(file, list(family_of(config).tensors(config)))
        check_memory(file, config, kv_type, n_threads)
        tokenizer = Tokenizer.from_gguf(file)
        system.set_up_kernels()
        _compile(file, config, kv_type, report)
        pool = Pool(n_threads)
        try:
            weights = load_weights(file, config, pool, lambda d, n: report("load", d, n))
            engine = Engine(config, weights, pool, kv_type, n_ctx)
        except BaseException:
            pool.close()
            raise
    return Model(path, config, tokenizer, engine, time.perf_counter() - begin)


def _check_threads(threads: int | None) -> int:
    if threads is None:
        return system.default_threads().count
    is_int = isinstance(threads, int) and not isinstance(threads, bool)
    if not is_int or not 1 <= threads <= MAX_THREADS:
        raise RequestError(
            "threads", expected=f"a whole number from 1 to {MAX_THREADS}", got=repr(threads)
        )
    return threads


def _check_ctx(ctx: int | None, config: ModelConfig) -> int:
    if ctx is None:
        return config.n_ctx_train
    if isinstance(ctx, bool) or not isinstance(ctx, int) or ctx < 2:
        raise RequestError("ctx", expected="a whole number from 2", got=repr(ctx))
    if ctx > config.n_ctx_train:
        log.warning(
            "ctx=%d is beyond the %d tokens that the model was trained with; quality may suffer",
            ctx,
            config.n_ctx_train,
        )
    return ctx


def _compile(file: GGUFFile, config: ModelConfig, kv_type: str, report: Progress) -> None:
    formats = {t.name: panel_format(file, t).name for t in file.tensors.values() if t.is_matrix}
    kernels = kernels_for(config, kv_type, formats)
    begin = time.perf_counter()
    compiled = jit.compile_all(kernels, lambda done, total: report("compile", done, total))
    if compiled:
        log.info("compiled %d kernels in %.1f s", compiled, time.perf_counter() - begin)
