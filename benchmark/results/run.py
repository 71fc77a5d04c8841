"""What a run has stored, found by the columns of its results: scores, codes, images, hashers."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hashattack.benchmark.columns import COLUMNS, names_of
from hashattack.benchmark.names import counted, nearest
from hashattack.benchmark.results.frame import frame_of
from hashattack.benchmark.results.manifest import MISSING, read_manifest, result_rows
from hashattack.benchmark.store.keys import canonical
from hashattack.benchmark.store.store import Arrays, JobRef, Store
from hashattack.datasets.base import DatasetError, RetrievalData, UInt8Array
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from hashattack.benchmark.suites.suite import Suite
    from hashattack.targets.ensemble import SourceSpec
    from hashattack.targets.hasher import Hasher

CodesOf = Literal["adversarial", "clean", "database"]
_DISTORTIONS = ("perceptibility", "l2", "linf")
_LISTED = 8  # cells in a message
_DISTINCT = (  # columns in which cells differ
    *("attack", "variant", "source", "victim", "dataset", "protocol", "policy"),
    *("target_seed", "draw_seed", "attack_seed"),
)


class SelectionError(UserError):
    """Columns that select no cell of a run, or cells with different values."""


class Run:
    """The results of an output folder, and what its jobs have stored.

    Every method takes columns of ``results`` as keywords, ``attack="dhta",
    source="DPSH-AlexNet-32"``: they select cells, which must all share the one thing that is
    asked for; otherwise the error lists what they select. What is read is compared with its hash.

    Attributes:
        folder: the output folder.
        results: the table that :func:`load_results` returns.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self._cache = folder, cache
        self._manifest = read_manifest(folder)
        self._cells = frame_of(result_rows(folder, self._manifest))
        self._store = Store(folder / "store")
        ended = self._cells["status"] != MISSING
        self.results: pd.DataFrame = self._cells[ended].reset_index(drop=True)

    def scores(self, **columns: Any) -> pd.DataFrame:
        """Return the scores of every query of a cell, one row per query.

        Columns: ``query``, the row in the query split; ``target``, the numbers of its target's
        labels, like ``2 7`` (of its own where the goal is non-targeted); then what results have
        means of, fractions in [0, 1]: ``t_map``, ``t_map_stable``, ``map``, ``precision_at_10``, …
        and, unless the attack only names codes, ``t_map_8bit``, ``perceptibility``, ``l2`` and
        ``linf`` (pixels in [0, 1]).

        Raises:
            SelectionError: not exactly one cell with a result.
        """
        score = self._one("scores", ["score"], columns, ok=True)
        inputs = self._manifest["jobs"][score.key]["inputs"]
        arrays, rows = self._store.arrays(score), self._arrays(inputs["targets"])["targets"]
        found: dict[str, Any] = {
            "query": np.arange(len(rows)),
            "target": [" ".join(map(str, np.flatnonzero(row))) for row in rows],
        }
        found |= {name: arrays[name] for name in names_of("retrieval") if name in arrays}
        attacked = self._arrays(inputs["codes"])
        found |= {name: attacked[name] for name in _DISTORTIONS if name in attacked}
        return pd.DataFrame(found)

    def target_labels(self, **columns: Any) -> UInt8Array:
        """Return the label rows that cells are scored for, uint8 {0, 1} ``[q, C]``.

        They are the queries' target labels, or their own where the goal is non-targeted.

        Raises:
            SelectionError: none, or cells with several draws.
        """
        draw = self._one("target labels", ["score", "targets"], columns)
        return self._store.arrays(draw)["targets"]

    def codes(self, of: CodesOf = "adversarial", /, **columns: Any) -> npt.NDArray[np.int8]:
        """Return hash codes by the victim, int8 {-1, +1}.

        Args:
            of: ``adversarial`` images ``[q, K]`` (of an attack that only names codes, these);
                ``clean`` queries ``[q, K]``, hashed anew where the run did not store them; or the
                ``database`` ``[n, K]``.
            columns: select cells.

        Raises:
            SelectionError: none, or cells with different codes.
            DatasetError: clean queries that cannot be read.
        """
        if of == "clean":
            return self._clean_codes(columns)
        if of not in ("adversarial", "database"):
            raise SelectionError(f"codes are of 'adversarial', 'clean' or 'database', not '{of}'")
        role = "database" if of == "database" else "codes"
        return self._store.arrays(self._one(f"{of} codes", ["score", role], columns))["codes"]

    def images(self, **columns: Any) -> npt.NDArray[Any]:
        """Return adversarial images, floats in [0, 1] ``[q, 3, S, S]``, exactly as crafted.

        Raises:
            SelectionError: none, cells with different images, or an attack that only names codes.
        """
        craft = self._one("adversarial images", ["craft"], columns)
        arrays = self._store.arrays(craft)
        if "images" not in arrays:
            label = self._manifest["jobs"][craft.key]["label"]
            raise SelectionError(f"{label}: it only names codes and crafts no image; see codes()")
        return arrays["images"]

    def hasher(self, name: str | None = None, **columns: Any) -> Hasher:
        """Return a trained hasher on the CPU: frozen, in evaluation mode.

        Args:
            name: of the victim or source, like ``DPSH-AlexNet-32``.
            columns: select cells; without a name, their victim.

        Raises:
            SelectionError: none, or several of the name, from several seeds or data sets.
            UserError: the plug-in of its method or backbone is not loaded.
        """
        import torch

        from hashattack.targets.checkpoints import load_hasher

        ref = self._hasher(name, columns)
        job = self._manifest["jobs"][ref.key]
        side = job["task"].get("side") or self._manifest["sides"][job["task"]["fingerprint"]]
        arrays, cpu = self._store.arrays(ref), torch.device("cpu")
        return load_hasher(self._spec(job["task"]), side, arrays, device=cpu, dtype=torch.float32)

    def dataset(self, **columns: Any) -> RetrievalData:
        """Return a data set with its labels: ``train``, ``query``, ``database``, ``classes``.

        Each split has ``labels``, uint8 {0, 1} ``[n, C]``, and ``images.read(rows)``, uint8
        ``[len(rows), 3, S, S]``; query i of a cell is row i of the query split.

        Raises:
            SelectionError: none, or cells of several data sets.
            DatasetError: it cannot be read, or changed since.
        """
        found = self._select(columns)
        fingerprints = found["dataset_fingerprint"].unique()
        if len(fingerprints) > 1:
            raise self._several("data sets", found)
        return self._load(str(fingerprints[0]))

    # -- selection ---------------------------------------------------------------------------

    def _select(self, columns: Mapping[str, Any]) -> pd.DataFrame:
        """Return the cells that have these values, numbered as in the manifest."""
        found, given = self._cells, {}
        for name, value in columns.items():
            if name not in COLUMNS:
                raise SelectionError(f"results have no column '{name}'{nearest(name, COLUMNS)}")
            given[name] = value
            known = sorted(map(str, found[name].dropna().unique()))
            found = found[(found[name] == value).fillna(False)]
            if found.empty:
                raise SelectionError(
                    f"{self.folder}: no cell has {_text(given)}{nearest(str(value), known)}"
                )
        return found

    def _one(
        self, what: str, path: Sequence[str], columns: Mapping[str, Any], *, ok: bool = False
    ) -> JobRef:
        """Return the one job that all selected cells lead to.

        Args:
            what: it has made, for messages.
            path: of the job: a cell's stage, then the roles of inputs.
            columns: select cells.
            ok: whether these must have a result; the job is done in any case.
        """
        found = self._select(columns)
        jobs = [self._manifest["cells"][number]["jobs"] for number in found.index]
        keys = {one[path[0]] for one in jobs if one}
        for role in path[1:]:
            inputs = [self._manifest["jobs"][key]["inputs"] for key in keys]
            keys = {one[role] for one in inputs if role in one}
        if len(keys) > 1:
            raise self._several(what, found)
        done = [ref for ref in map(self._ref, keys) if self._store.is_done(ref)]
        if done and not (ok and (found["status"] != "ok").any()):
            return done[0]
        row = found.iloc[0]
        raise SelectionError(
            f"{self.folder}: {_text(columns) or 'it'} has no {what}: {row['status']}, "
            f"{row['reason'] or 'not run yet'}"
        )

    def _several(self, what: str, found: pd.DataFrame) -> SelectionError:
        """Return the error that lists the columns in which selected cells differ."""
        different = [name for name in _DISTINCT if found[name].astype("string").nunique() > 1]
        shown = found[different or ["params"]].drop_duplicates()
        lines = [_text(row) for row in shown.head(_LISTED).to_dict("records")]
        lines += [f"and {len(shown) - _LISTED} more"] if len(shown) > _LISTED else []
        return SelectionError(
            f"{self.folder}: {counted(len(found), 'cell')} of several {what}; select one by its "
            "columns:\n" + "\n".join(f"  {line}" for line in lines)
        )

    def _arrays(self, key: str) -> Arrays:
        return self._store.arrays(self._ref(key))

    def _ref(self, key: str) -> JobRef:
        return JobRef(self._manifest["jobs"][key]["stage"], key)

    # -- hashers and data sets -----------------------------------------------------------------

    def _hasher(self, name: str | None, columns: Mapping[str, Any]) -> JobRef:
        if name is None or (self._cells["victim"] == name).any():
            named = {} if name is None else {"victim": name}
            return self._one("hashers", ["score", "database", "target"], {**columns, **named})
        known = {*self._cells["victim"], *self._cells["source"]}
        if name not in known:
            raise SelectionError(f"{self.folder}: no hasher '{name}'{nearest(name, known)}")
        # No attack was made against it.
        return self._one("hashers", ["craft", "target"], {**columns, "source": name})

    def _clean_codes(self, columns: Mapping[str, Any]) -> npt.NDArray[np.int8]:
        hasher, count = self._hasher(None, columns), int(self._select(columns)["n_queries"].max())
        for key, job in self._manifest["jobs"].items():
            encodes = job["stage"] == "encode" and job["inputs"]["target"] == hasher.key
            if encodes and job["task"]["split"] == "query" and self._store.is_done(self._ref(key)):
                return self._arrays(key)["codes"][:count]
        from hashattack.benchmark.jobs import Compute, Place
        from hashattack.benchmark.networks import encode_images

        network, data = self.hasher(**columns), self.dataset(**columns)
        place = Place(device=network.scale.device)
        return encode_images(network, data.query.images, Compute(), place)[:count].numpy()

    @functools.cached_property
    def _suite(self) -> Suite:
        from hashattack.benchmark.results.stored_suite import restored_suite

        return restored_suite(self._manifest, f"the suite of {self.folder}", attacks=False)

    def _spec(self, task: Mapping[str, Any]) -> SourceSpec:
        """Return the target or the ensemble whose canonical form a job has."""
        from hashattack.benchmark.plan.plan import targets_of
        from hashattack.targets.ensemble import EnsembleSpec

        if "members" in task["spec"]:
            found = [self._spec({"spec": one}).members for one in task["spec"]["members"]]
            return EnsembleSpec(members=tuple(chain.from_iterable(found)))
        for part in self._suite.parts or [self._suite]:
            for target in targets_of(part):
                if not target.spec.unavailable and canonical(target.spec) == task["spec"]:
                    return target.spec
        raise SelectionError(f"{self.folder}: the plug-in of its hasher changed since it was run")

    def _load(self, fingerprint: str) -> RetrievalData:
        from hashattack.benchmark.registry import registry
        from hashattack.benchmark.suites.loading import construct

        errors = []
        for part in self._suite.parts or [self._suite]:
            for entry in part.datasets:
                spec = construct(registry().datasets[entry.dataset], entry.params, entry.dataset)
                try:
                    data: RetrievalData = spec.load(self._cache)
                except DatasetError as error:
                    errors.append(str(error))
                    continue
                if data.fingerprint == fingerprint:
                    return data
        raise DatasetError("\n".join(errors) or f"the data of {self.folder} changed since its run")


def _text(columns: Mapping[Any, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in columns.items())
