"""The benchmark from Python: results of runs, trained hashers, attacks on your own arrays.

>>> from hashattack.benchmark import api
>>> run = api.load_run("results/smoke")
>>> run.scores(attack="dhta", source="DPSH-Tiny-32")["t_map"].shape
(32,)

Functions take NumPy arrays or torch tensors and return NumPy arrays. Images are ``[n, 3, S, S]``,
uint8 or floats in [0, 1]; hash codes {-1, +1} ``[n, K]``, int8; label rows {0, 1} ``[n, C]``. An
error that the caller can correct is a :class:`UserError`, which says how. torch is imported when it
is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from hashattack.benchmark.console import cache_folder
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.results.run import Run
from hashattack.benchmark.search import search
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from hashattack.attacks.base import Attack, Entry, Pool
    from hashattack.datasets.base import Images, Split
    from hashattack.targets.hasher import Hasher, Normalise

    Array = npt.NDArray[Any] | Tensor

__all__ = [
    "Crafted",
    "Run",
    "UserError",
    "craft",
    "hash_codes",
    "load_plugins",
    "load_results",
    "load_run",
    "load_target",
    "mean_average_precision",
    "search",
]


@dataclass(frozen=True)
class Crafted:
    """What an attack made of q images, and what it did to them.

    Attributes:
        images: adversarial images, floats in [0, 1] ``[q, 3, S, S]``; None for an attack that only
            names codes.
        codes: their hash codes, int8 ``[q, K]``; for an attack that only names codes, those.
        target_codes: the codes aimed at, int8 ``[q, K]``; None for an attack that aims at none.
        perceptibility: the root of the mean squared change of a pixel, float64 ``[q]``.
        l2, linf: norms of the change, of pixels in [0, 1], float64 ``[q]``.
        passes_per_image: forward and backward passes of the hasher, counted; None without images.
    """

    images: npt.NDArray[Any] | None
    codes: npt.NDArray[np.int8]
    target_codes: npt.NDArray[np.int8] | None
    perceptibility: npt.NDArray[np.float64] | None
    l2: npt.NDArray[np.float64] | None
    linf: npt.NDArray[np.float64] | None
    passes_per_image: float | None


def load_run(folder: Path | str, *, cache: Path | str | None = None) -> Run:
    """Return a run: its results, and by their columns what its jobs have stored.

    Args:
        folder: the output folder; of a run in progress, what is done so far.
        cache: the folder of built data sets; None for the user's cache.

    Raises:
        UserError: the folder holds no run, or one of another version; see :func:`load_results`.

    Examples:
        >>> run = load_run("results/smoke")
        >>> scores = run.scores(attack="dhta", source="DPSH-Tiny-32")
        >>> list(scores.columns[:4])
        ['query', 'target', 't_map', 't_map_stable']
        >>> run.images(attack="dhta", source="DPSH-Tiny-32").shape
        (32, 3, 32, 32)
        >>> run.codes("database", victim="DPSH-Tiny-32").shape
        (800, 32)
    """
    return Run(Path(folder), cache_folder(None if cache is None else Path(cache)))


def load_target(
    target: Path | str,
    *,
    backbone: str | None = None,
    side: int | None = None,
    method: str = "DPSH",
    normalise: Normalise = "none",
    scale: float | None = None,
) -> Hasher:
    """Return a trained hasher on the CPU: frozen, in evaluation mode.

    Args:
        target: ``FOLDER:NAME``, a hasher of a run, or a state dict in a file (``.safetensors`` or
            torch's), read without executing it, in one of the layouts of ``import-target``.
        backbone: of a file: its network, like ``ResNet18``.
        side: of a file: the side of its images in pixels.
        method: of a file: its hashing method.
        normalise: of a file: whether its images are normalised as for ImageNet.
        scale: of a HashNet whose file lacks it: the factor of its logit.

    Raises:
        UserError: no such folder, name or file, or a file that does not fit the network.

    Examples:
        >>> load_target("results/smoke:DPSH-Tiny-32").bits
        32
    """
    import torch

    from hashattack.benchmark.names import lookup
    from hashattack.benchmark.registry import registry
    from hashattack.targets.backbones import TargetError
    from hashattack.targets.checkpoints import foreign_hasher, load_hasher

    path = Path(target)
    folder, colon, name = str(target).rpartition(":")
    if colon and not path.exists():
        return load_run(folder).hasher(name)
    if not path.is_file():
        raise TargetError(f"{target}: no such file; write FOLDER:NAME for a hasher of a run")
    if backbone is None or side is None:
        raise TargetError(f"{target}: a file holds weights alone; give backbone= and side=, too")
    known = registry()
    spec, arrays = foreign_hasher(
        path,
        lookup("hashing method", method, known.methods)(),
        lookup("backbone", backbone, known.backbones)(),
        side=side,
        normalise=normalise,
        scale=scale,
    )
    return load_hasher(spec, side, arrays, device=torch.device("cpu"), dtype=torch.float32)


def craft(
    attack: str | Attack | Entry,
    hasher: Hasher,
    images: Array | Images,
    labels: Array | None = None,
    *,
    train: tuple[Array, Array] | Split | Pool | None = None,
    database: tuple[Array, Array] | Split | Pool | None = None,
    params: Mapping[str, Any] | None = None,
    epsilon: float | None = None,
    protocol: str = "released",
    seed: int = 0,
    batch: int | None = None,
) -> Crafted:
    """Attack images, without a suite, on the path that a run takes.

    With the images, the hasher, the seed, the batch and the threads of a run, the result equals the
    run's images to the bit. An attack that learns is trained first; ``params`` make that short.

    Args:
        attack: the id of an attack (of a plug-in, too, after :func:`load_plugins`), an attack, or
            a function with ``@attack``.
        hasher: the white-box source; it is copied, and runs on its device and in its dtype.
        images: q queries.
        labels: the label row that each query is to retrieve ``[q, C]``; of a non-targeted attack
            that sees them, the queries' own. Others need none.
        train: the training images that the attacker knows, with their label rows: a pair, or a
            split of ``run.dataset()``; a ``Pool(labels, codes)`` where codes are at hand and the
            attack needs no images.
        database: the same of the database, which the protocol ``released`` shows to an attacker.
        params: hyper-parameters by name, as in a suite and in the column ``params``.
        epsilon: the L-infinity budget, of pixels in [0, 1]; None for the attack's own.
        protocol: a protocol's name.
        seed: of everything that the attack draws.
        batch: images at a time, as in a run, which fills the last batch up; None for 32, or all
            images where they are fewer.

    Raises:
        UserError: arrays that do not fit, images that the attack needs and that are not given, an
            unknown name, an attack that cannot run or broke its budget.

    Examples:
        >>> run = load_run("results/smoke")
        >>> data, hasher = run.dataset(), run.hasher("DPSH-Tiny-32")
        >>> queries, targets = data.query.images.read(np.arange(3)), run.target_labels()[:3]
        >>> known = {"database": data.database}
        >>> made = craft("dhta", hasher, queries, targets, **known, params={"steps": 9})
        >>> made.images.shape, made.codes.shape
        ((3, 3, 32, 32), (3, 32))
        >>> assert made.linf.max() <= 8 / 255 + 1e-6
    """
    from hashattack.benchmark import crafting

    changes = {**(params or {}), **({} if epsilon is None else {"epsilon": epsilon})}
    built, rules = crafting.as_attack(attack, protocol, changes)
    queries = crafting.as_images(images, "images")
    rows = crafting.labels_for(built, labels, len(queries))
    made = crafting.Network.of(hasher, batch).run(
        built, queries, rows, train=train, database=database, protocol=rules, seed=seed
    )
    passes = made.get("passes_per_image")
    return Crafted(
        images=made.get("images"),
        codes=made["codes"] if "codes" in made else made["target_codes"],
        **{name: made.get(name) for name in ("target_codes", "perceptibility", "l2", "linf")},
        passes_per_image=None if passes is None else float(passes),
    )


def hash_codes(hasher: Hasher, images: Array | Images, *, batch: int = 32) -> npt.NDArray[np.int8]:
    """Return the hash codes of images, int8 {-1, +1} ``[n, K]``.

    Args:
        hasher: a trained hasher; it runs on its device.
        images: n images.
        batch: images at a time; another one may change the sign of an output that is almost 0.

    Raises:
        UserError: arrays that are no images, or a hasher that outputs NaN.

    Examples:
        >>> run = load_run("results/smoke")
        >>> hash_codes(run.hasher("DPSH-Tiny-32"), run.dataset().query.images).shape
        (64, 32)
    """
    from hashattack.benchmark.crafting import Network, as_images

    return Network.of(hasher, batch).codes(as_images(images, "images")).numpy()


def mean_average_precision(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    ties: Literal["expected", "stable"] = "expected",
    top: int | None = None,
) -> float:
    """Return the MAP, a fraction; of target labels, t-MAP.

    Args:
        query_codes: {-1, +1} ``[q, K]``.
        database_codes: the same ``[n, K]``.
        query_labels: {0, 1} ``[q, C]``: own label rows for MAP, target label rows for t-MAP.
        database_labels: the same ``[n, C]``; an item is relevant if it shares a label.
        ties: ``expected`` over random order of equal distances, or ``stable``: in database order.
        top: for MAP at k (t-MAP@5000): only the first ``top`` items of the ranking; None for the
            whole database.

    Raises:
        ValueError: shapes that do not fit, other values, or a ``top`` below 1.

    Examples:
        >>> codes = np.array([[1, 1], [1, -1], [-1, -1]])
        >>> labels = np.array([[1, 0], [0, 1], [1, 0]])
        >>> mean_average_precision(codes[:1], codes, labels[:1], labels)
        0.8333333333333333
        >>> mean_average_precision(codes[:1], codes, labels[:1], labels, top=2)
        1.0
    """
    from hashattack.benchmark import metrics

    return metrics.mean_average_precision(
        query_codes, database_codes, query_labels, database_labels, ties=ties, top=top
    )


def load_plugins(*files: Path | str) -> None:
    """Import plug-in files, so that :func:`craft` and :func:`load_run` know what they declare.

    Raises:
        UserError: a file that is not there, or that fails when it is imported.
    """
    from hashattack.benchmark import plugins

    plugins.load_plugins(map(Path, files))
