"""The attack template, and exactly what the threat model lets an attacker see.

An :class:`Attack` is a frozen value composed of a target-code rule and a crafting; its fields are
its hyper-parameters and its identity. It never sees another hasher, and the queries' own labels
only where it declares so.
Projection into the budget is the crafting's business: the harness measures what comes out and
changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hashattack.attacks import protocols
from hashattack.attacks.declarations import (
    ADDRESS_RULE,
    TITLE_RULE,
    budget,
    count,
    is_address,
    is_title,
    text,
)
from hashattack.attacks.declarations import AttackError as AttackError
from hashattack.attacks.libraries import Library
from hashattack.attacks.protocols import PoolName
from hashattack.datasets.base import Images, IntArray, UInt8Array
from hashattack.datasets.draws import Policy
from hashattack.datasets.seeds import generator
from hashattack.datasets.texts import ID_RULE, is_id, one_line
from hashattack.targets.hasher import Hasher
from hashattack.targets.training import Progress

Arrays = dict[str, npt.NDArray[Any]]
Role = Literal["", "no-attack", "bound", "standard"]
Goal = Literal["targeted", "non-targeted", "none"]
PARTS = ("target_code", "crafting")  # of an attack, and the roles of what they learnt
_NO_KEY = {"key": False}


@dataclass(frozen=True)
class Pool:
    """What is known of m images: label rows {0, 1} ``[m, C]``, the source's codes ``[m, K]``."""

    labels: UInt8Array
    codes: Tensor


@dataclass(frozen=True)
class Knowledge:
    """What an attacker sees: the white-box source hasher, training data, maybe the database.

    ``fitted`` holds what the attack's own parts learnt before: the state of its target-code rule
    under ``target_code``, that of its crafting under ``crafting``.
    """

    source: str
    hasher: Hasher
    train: Pool
    database: Pool | None = None
    train_images: Images | None = None
    fitted: Mapping[str, Arrays] = field(default_factory=dict)

    def pool(self, name: PoolName) -> Pool:
        """Return the training or the database pool.

        Raises:
            AttackError: the protocol hides the database from the attacker.
        """
        if name == "train":
            return self.train
        if self.database is None:
            raise AttackError("this protocol does not show the database to an attacker")
        return self.database


@dataclass(frozen=True)
class Batch:
    """Queries to perturb together. No draw of an attack may depend on the rest of the batch."""

    images: Tensor  # [n, 3, S, S] in [0, 1]
    codes: Tensor | None  # target codes, [n, K] in {-1, +1}, None without a target-code rule
    # Label rows, uint8 [n, C]: the targets of a targeted attack, the queries' own of a non-targeted
    # one that declares to see them, zeros for others.
    labels: Tensor
    rows: IntArray  # the queries' row numbers, [n]
    seed: int

    def uniform(self, purpose: str) -> Tensor:
        """Return U(0, 1) noise shaped like the images, drawn per row from (seed, purpose, row)."""
        shape = tuple(self.images.shape[1:])
        draws = [generator(self.seed, purpose, int(row)).random(shape) for row in self.rows]
        return torch.from_numpy(np.stack(draws)).to(self.images)


Perturb = Callable[[Batch], Tensor]


class Journal(Protocol):
    """Keeps the state of a fit as it goes."""

    def load(self) -> Arrays | None:
        """Return the last saved state, or None at a first start."""

    def save(self, state: Arrays) -> None:
        """Replace the saved state."""


@dataclass(frozen=True)
class Fitted:
    """What a fit returns: a state, and its loss curves by name, one value per epoch.

    Attributes:
        state: what it has learnt.
        curves: losses of the training, which figures show.
        convergence: a loss of one fixed sample, before training and after each epoch, that says
            whether the fit is ``undertrained``; empty where nothing says so.
        ended_early: whether it took less than the ``fit_passes`` it declares.
    """

    state: Arrays
    curves: Mapping[str, Sequence[float]]
    convergence: Sequence[float] = ()
    ended_early: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of an attack. One that learns sets ``learns`` and overrides :meth:`fit`.

    One that needs a library beyond the program's own names it in ``requires``: where it is absent,
    the attack's cells are skipped and say so; its version is part of the keys of the jobs.
    """

    learns: ClassVar[bool] = False
    requires: ClassVar[Library | None] = None

    def fit(
        self,
        knowledge: Knowledge,
        *,
        epsilon: float | None,
        seed: int,
        journal: Journal,
        progress: Progress,
    ) -> Fitted:
        """Learn once per (source, seed); all attacks with an equal part share the result.

        ``epsilon`` is the declared budget a crafting must obey; None for a target-code rule.
        """
        raise NotImplementedError(f"{type(self).__name__} learns nothing")

    @property
    def fit_batch(self) -> int | None:
        """Images per step of the fit, where it learns from images."""
        return None

    def fit_passes(self, n_train: int) -> int:  # noqa: ARG002 - a part that learns says more
        """Return the cost of a fit in passes of the hasher, roughly, for estimates."""
        return 0


@dataclass(frozen=True, kw_only=True)
class TargetCode(Part, ABC):
    """A rule that names the hash code that a query is moved to."""

    @abstractmethod
    def codes(
        self, knowledge: Knowledge, labels: UInt8Array, rows: IntArray, seed: int
    ) -> Tensor | npt.NDArray[Any]:
        """Return target codes ``[n, K]`` in {-1, +1} for label rows ``[n, C]``.

        The label rows are the target labels; for a non-targeted attack the queries' own, and the
        code is one far from theirs. ``rows`` are the queries' row numbers; draws are seeded by
        (seed, purpose, row).
        """


@dataclass(frozen=True, kw_only=True)
class Crafting(Part):
    """A way to make the adversarial image. Override :meth:`perturb` or :meth:`ready`.

    One that sets both ``needs_code`` and ``needs_hasher`` to False is run once for all hashers,
    and must use neither.
    """

    needs_code: ClassVar[bool] = True
    needs_hasher: ClassVar[bool] = True

    @property
    def passes(self) -> int:
        """The forward and backward passes of the hasher per image, roughly, for estimates.

        The column ``passes_per_image`` has those that a run counts.
        """
        return 1

    def ready(self, knowledge: Knowledge, epsilon: float | None) -> Perturb:
        """Return the function that perturbs a batch; what it needs is loaded here, once."""
        return lambda batch: self.perturb(batch, knowledge.hasher, epsilon)

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:
        """Return adversarial images ``[n, 3, S, S]`` in [0, 1], within ``epsilon`` if declared."""
        raise NotImplementedError(f"{type(self).__name__} overrides neither perturb nor ready")


@dataclass(frozen=True)
class Attack:
    """A row of the leaderboard.

    What it and its parts declare is read when it is made, once, as values of built-in types.

    Attributes:
        id: its identifier in results and suites.
        title: its name in reports.
        target_code: the rule, or None where no code is aimed at. It names the code to move to, also
            for a non-targeted attack.
        crafting: how the image is made; None where the code itself queries the database.
        epsilon: declared L-infinity budget in pixels of [0, 1]; None where none is declared.
        published_policy: the policy that the paper or its code drew its target labels by, for
            suites that draw ``as-published``.
        role: what reports use it for: ``no-attack`` is what gains are measured from, ``bound`` the
            bound that they are shares of, ``standard`` what differences and training costs
            are compared with; empty for any other attack.
        paper: where it was published, like ``Wang et al., CVPR 2021``; empty where it was not.
        url: the paper's address (DOI or arXiv).
        goal: ``targeted``: that queries retrieve images of a target label (scored by t-MAP);
            ``non-targeted``: that they no longer retrieve images of their own labels (by MAP, lower
            is stronger); ``none`` for a reference, which is measured for both.
        sees_query_labels: whether a non-targeted attack is given the queries' own labels; those
            that are given them are ranked apart.
        learning: the names of the parts that are trained before the first query.
        needs_source: whether it aims at a code or uses a hasher; if not, one run serves all.
        passes: per image, as its crafting declares them, None where it declares none.
        libraries: those that its parts need beyond the program's own.

    Raises:
        AttackError: it cannot run, or declares what cannot stand in results.
    """

    id: str
    title: str
    target_code: TargetCode | None
    crafting: Crafting | None
    epsilon: float | None
    role: Role = field(default="", metadata=_NO_KEY)
    published_policy: Policy = field(default="frequent", metadata=_NO_KEY)
    paper: str = field(default="", metadata=_NO_KEY)
    url: str = field(default="", metadata=_NO_KEY)
    goal: Goal = field(default="targeted", metadata=_NO_KEY)
    sees_query_labels: bool = field(default=False, metadata=_NO_KEY)
    learning: tuple[str, ...] = field(init=False, metadata=_NO_KEY)
    needs_source: bool = field(init=False, metadata=_NO_KEY)
    passes: int | None = field(init=False, metadata=_NO_KEY)
    libraries: tuple[Library, ...] = field(init=False, metadata=_NO_KEY)

    def __post_init__(self) -> None:
        id_ = text(self.id, is_id, f"the id of an attack must be {ID_RULE}")
        read: dict[str, Any] = {"id": id_}
        rule = f"{id_}: the title must be {TITLE_RULE}"
        read["title"] = text(self.title, is_title, rule)
        rule = f"{id_}: the paper must be empty or {TITLE_RULE}"
        read["paper"] = text(self.paper, lambda line: not line or is_title(line), rule)
        rule = f"{id_}: the url must be {ADDRESS_RULE}"
        read["url"] = text(self.url, lambda line: not line or is_address(line), rule)
        declared = {"role": Role, "published_policy": Policy, "goal": Goal}
        for name, choices in ((name, get_args(kind)) for name, kind in declared.items()):
            rule = f"{id_}: {name} must be one of {choices}"
            read[name] = text(getattr(self, name), choices.__contains__, rule)
        read["epsilon"] = None if self.epsilon is None else budget(self.epsilon, f"{id_}: epsilon")
        parts: dict[str, Part] = {}
        for name, kind in (("target_code", TargetCode), ("crafting", Crafting)):
            part = getattr(self, name)
            if isinstance(part, kind):
                parts[name] = part
            elif part is not None:
                found = type(part).__name__
                raise AttackError(f"{id_}: its {name} is a {found}, not a {kind.__name__}")
        crafting = self.crafting
        if (crafting is None or crafting.needs_code) and self.target_code is None:
            raise AttackError(f"{id_}: needs a target-code rule")
        needs_hasher = crafting is None or bool(crafting.needs_hasher)
        read["needs_source"] = needs_hasher or self.target_code is not None
        read["sees_query_labels"] = self.sees_query_labels is True
        self._check_goal(read["goal"], read["sees_query_labels"])
        read["learning"] = tuple(name for name, part in parts.items() if part.learns)
        read["passes"] = None
        # The default of Crafting.passes is a guess for estimates and no declaration.
        if crafting is not None and type(crafting).passes is not Crafting.passes:
            read["passes"] = count(crafting.passes, f"{id_}: passes")
        required = [part.requires for part in parts.values()]
        read["libraries"] = tuple(one for one in required if one is not None)
        if any(type(one) is not Library for one in read["libraries"]):
            raise AttackError(f"{id_}: what a part requires must be a Library")
        for name, value in read.items():
            object.__setattr__(self, name, value)

    def _check_goal(self, goal: Goal, sees_query_labels: bool) -> None:
        """Refuse a goal that does not fit the labels that the attack is given."""
        if sees_query_labels and goal != "non-targeted":
            raise AttackError(
                f"{self.id}: only a non-targeted attack may see the queries' labels, not one whose "
                f"goal is {goal}"
            )
        if self.target_code is not None and goal == "none":
            raise AttackError(f"{self.id}: with a target code its goal cannot be none")
        if self.target_code is not None and goal == "non-targeted" and not sees_query_labels:
            raise AttackError(
                f"{self.id}: a target-code rule reads label rows, which a non-targeted attack has "
                "only with sees_query_labels=True"
            )

    @staticmethod
    def of(built: Any) -> Attack:
        """Return a plain copy of what a plug-in's function has built.

        Raises:
            AttackError: it is no :class:`Attack`, but perhaps one of a subclass.
        """
        if type(built) is not Attack:
            raise AttackError(f"its function returns a {type(built).__name__}, not an Attack")
        return Attack(*(getattr(built, one.name) for one in fields(Attack) if one.init))

    @property
    def code_only(self) -> bool:
        """Whether the target code itself queries the database: a bound, not an image."""
        return self.crafting is None

    @property
    def sees_labels(self) -> bool:
        """Whether it is given label rows: target labels, or the queries' own."""
        return self.goal == "targeted" or self.sees_query_labels

    @property
    def learns(self) -> bool:
        """Whether one of its parts is trained before the first query."""
        return bool(self.learning)

    @property
    def unavailable(self) -> str | None:
        """Why it cannot run here, and what to do; None where it can."""
        missing = "; ".join(filter(None, (one.missing for one in self.libraries)))
        return one_line(missing) or None

    def target_codes(
        self, knowledge: Knowledge, labels: UInt8Array, rows: IntArray, seed: int
    ) -> Tensor | None:
        """Return the target codes int8 ``[n, K]``, or None without a rule.

        Raises:
            AttackError: they are no codes.
        """
        if self.target_code is None:
            return None
        answer: Any = self.target_code.codes(knowledge, labels, rows, seed)
        if type(answer) is np.ndarray:
            answer = torch.from_numpy(answer.copy())
        found, wanted = tuple(np.shape(answer)), (len(labels), knowledge.hasher.bits)
        if type(answer) is not Tensor or found != wanted:
            raise AttackError(
                f"{self.id}: its target codes are a {type(answer).__name__} {found}, not a Tensor "
                f"{wanted}"
            )
        # A copy, made by torch's own functions, which the rule cannot change.
        codes = Tensor.detach(answer).cpu().clone()
        if len(others := codes[codes.double().abs() != 1]):
            raise AttackError(f"{self.id}: its target codes contain {others[0]:g}, not only -1, +1")
        return codes.to(torch.int8)

    def ready(self, knowledge: Knowledge) -> Perturb:
        """Return the function that perturbs a batch; the harness measures its images."""
        if self.crafting is None:
            raise AttackError(f"{self.id}: a code-only attack crafts no image")
        return self.crafting.ready(knowledge, self.epsilon)


@dataclass(frozen=True)
class Entry:
    """A registered attack: a function from a protocol to the composed attack."""

    build: Callable[[protocols.Protocol], Attack]
    help: str


def attack(build: Callable[[protocols.Protocol], Attack]) -> Entry:
    """Register the decorated function; its docstring is the attack's help."""
    return Entry(build, (build.__doc__ or "").strip().split("\n")[0])
