"""What an attack declares is read once, as plain values, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from hashattack.attacks.base import Attack, AttackError, Entry, attack
from hashattack.attacks.gradient import Identity, ProjectedGradient
from hashattack.attacks.libraries import Library, LibraryError
from hashattack.attacks.protocols import PROTOCOLS
from hashattack.attacks.target_codes import RandomPoint
from hashattack.benchmark.audit import InvalidAttackError, check_budget
from hashattack.benchmark.contract import plugin
from hashattack.benchmark.plan.cells import budget_class
from hashattack.benchmark.plugins import PluginError
from hashattack.benchmark.registry import _checked, _classes, _entries
from hashattack.benchmark.store.keys import canonical, is_own
from hashattack.benchmark.suites.loading import override, parameters_text
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.datasets.texts import error_line, is_id, one_line
from hashattack.targets.backbones import Backbone, Tiny

LOOP = ProjectedGradient(steps=2, rule="l2")


class Elastic(float):
    """A budget that is whatever is asked of it."""

    def __add__(self, other: object) -> Any:
        return Elastic(1e9)

    __radd__ = __rmul__ = __mul__ = __add__

    def __le__(self, other: object) -> bool:
        return True

    __lt__ = __ge__ = __gt__ = __eq__ = __le__
    __hash__ = float.__hash__

    def __float__(self) -> float:
        return 8 / 255


class Text(str):
    """A text that is shown as another one."""

    def __str__(self) -> str:
        return "dhta"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__

    def __format__(self, spec: str) -> str:
        return "dhta"


@dataclass(frozen=True, kw_only=True)
class Moody(ProjectedGradient):
    """Declares something else each time it is asked, and counts how often that is."""

    asked: ClassVar[list[str]] = []

    @property
    def passes(self) -> int:
        self.asked.append("passes")
        return len(self.asked)

    @property
    def learns(self) -> bool:  # type: ignore[override]
        self.asked.append("learns")
        return len(self.asked) % 2 == 0


def declared(**changes: Any) -> Attack:
    """Return an attack as the harness takes it from a plug-in."""
    values = {"id": "mine", "title": "Mine", "target_code": RandomPoint(pool="train")}
    values |= {"crafting": LOOP, "epsilon": 8 / 255}
    return taken(lambda _: Attack(**{**values, **changes}))


def taken(build: Callable[[Any], Any], *, role: bool = False) -> Attack:
    """Return what the harness takes of what a plug-in's function returns."""
    return _checked(Entry(build, ""), role=role)[1].build(PROTOCOLS["released"])


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("epsilon", Elastic(243 / 255), 8 / 255),
        ("epsilon", np.float64(0.25), 0.25),
        ("epsilon", np.float32(0.25), 0.25),
        ("epsilon", -0.0, 0.0),
        ("epsilon", 1, 1.0),
        ("epsilon", None, None),
        ("id", Text("mine"), "mine"),
        ("title", Text("Mine, at 8 of 255 (50 %)"), "Mine, at 8 of 255 (50 %)"),
        ("role", Text(""), ""),
        ("paper", Text("Someone et al., CVPR 2026"), "Someone et al., CVPR 2026"),
        ("url", Text("https://doi.org/10.1/x(1)"), "https://doi.org/10.1/x(1)"),
    ],
)
def test_what_is_declared_becomes_a_plain_value(name: str, value: Any, wanted: Any) -> None:
    found = getattr(declared(**{name: value}), name)
    assert type(found) is type(wanted)
    assert repr(found) == repr(wanted)


def test_no_budget_grows_when_it_is_compared() -> None:
    with pytest.raises(InvalidAttackError, match="exceeds the declared budget"):
        check_budget({"linf": 243 / 255}, declared(epsilon=Elastic(8 / 255)).epsilon)


REFUSED: dict[str, list[Any]] = {
    "epsilon": [float("nan"), float("inf"), -1 / 255, 8, True, "8/255", np.array(0.5), [0.5], 1j],
    "id": ["../../x", "a/b", "a b", "", "x" * 61, "=1", "a\n", 7, None, b"mine", Text("../x")],
    "title": ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "", " x", None, "a\\b", "a/b", "a\nb"],
    "role": ["best", None, Text("winner")],
    "paper": ["=cmd|' /C calc'!A0", "a\nb", None, "x" * 61, Text("=x")],
    "url": [
        "javascript:alert(1)",
        "https://x y",
        "http://x",
        'https://x">',
        None,
        "https://\u202e",
    ],
    "target_code": ["dhta", LOOP, RandomPoint],
    "crafting": [print, RandomPoint(pool="train")],
}
REFUSED["id"] += ["mine\x1b[2J", "\ud800"]
REFUSED["title"] += [
    "\x1b[31mred",
    "\ud800",
    "x" * 61,
    Text("=x"),
    "\u202eevil",
    "x\u200by",
    "a\0",
    r"$\bad$",
]


def test_a_larger_budget_is_another_class() -> None:
    classes = [budget_class(declared(epsilon=n / 255)) for n in (8, 8.0004, 7.9, 0.03)]
    assert classes == ["8/255", "8.0004/255", "7.9/255", "0.03/255"]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values]
)
def test_what_cannot_stand_in_results_is_refused_in_a_line(name: str, value: Any) -> None:
    with pytest.raises(PluginError, match=r"^the attack '<lambda>' cannot be built: ") as caught:
        declared(**{name: value})
    assert name.replace("_", " ") in str(caught.value).replace("_", " ")
    assert str(caught.value).isprintable()


def test_the_paper_is_no_part_of_a_key() -> None:
    cited = declared(paper="Someone et al., CVPR 2026", url="https://arxiv.org/abs/2600.00000")
    assert canonical(cited) == canonical(declared())


@pytest.mark.parametrize("passes", [-1, 1.5, "three", None, float("inf"), 10**13, np.arange(2)])
def test_passes_are_a_count(passes: Any) -> None:
    crafting = type("Counts", (ProjectedGradient,), {"passes": property(lambda _: passes)})
    with pytest.raises(PluginError, match="mine: passes must be a whole number from 0 to 1e12"):
        declared(crafting=crafting(steps=2, rule="l2"))


def test_parts_are_asked_once() -> None:
    made = replace(declared(crafting=Moody(steps=2, rule="l2")), epsilon=0.5)
    Moody.asked.clear()
    before = (made.passes, made.learns, made.learning, made.needs_source, made.libraries)
    assert before == (made.passes, made.learns, made.learning, made.needs_source, made.libraries)
    assert not Moody.asked
    assert is_own(declared())


def test_what_a_part_requires_is_a_library() -> None:
    needs: Any = type("Needs", (ProjectedGradient,), {"requires": "torch"})
    with pytest.raises(PluginError, match="mine: what a part requires must be a Library"):
        declared(crafting=needs(steps=2, rule="l2"))
    with pytest.raises(LibraryError, match="a Library is named by three texts, got Library"):
        Library("", "x", "x")
    needs.requires = Library("no_such", "\x1b]0;x", "\x1b[2J")
    assert declared(crafting=needs(steps=2, rule="l2")).unavailable == (
        "needs no_such: pip install '\\x1b[2J'"
    )


def test_an_attack_is_no_subclass_and_has_no_methods_of_its_own() -> None:
    class Special(Attack):
        """Overrides what is checked."""

    with pytest.raises(PluginError, match="its function returns a Special, not an Attack"):
        taken(lambda _: Special("mine", "Mine", None, Identity(), 0.0))
    shadowed = Attack("mine", "Mine", None, Identity(), 0.0)
    object.__setattr__(shadowed, "ready", print)
    object.__setattr__(shadowed, "epsilon", Elastic(1))
    found = taken(lambda _: shadowed)
    assert "ready" not in vars(found)
    assert type(found.epsilon) is float


def test_other_rows_are_measured_by_the_programs_own_attacks() -> None:
    for role in ("no-attack", "bound", "standard"):
        with pytest.raises(PluginError, match="only the program's own attacks have a role"):
            declared(role=role)


def test_what_else_a_module_holds_is_not_asked() -> None:
    class Proxy:
        """An object that is nothing yet, like those of some libraries."""

        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("not bound")

    module = ModuleType("some")
    vars(module)["proxy"] = Proxy()
    assert list(_entries([module])) == []
    assert _classes([module], Backbone) == {}  # type: ignore[type-abstract]
    assert plugin.declared(module) == ([], [])


def test_an_attack_keeps_its_id() -> None:
    ids = iter(["mine", "dhta"])
    entry = Entry(lambda _: Attack(next(ids), "Mine", None, Identity(), 0.0), "\x1b[31mHelp\n")
    id_, checked = _checked(entry, role=False)
    assert (id_, checked.help) == ("mine", "\\x1b[31mHelp")
    with pytest.raises(PluginError, match="calls itself 'mine', then 'dhta'"):
        checked.build(PROTOCOLS["paper"])


def test_whatever_declares_an_attack_is_named() -> None:
    with pytest.raises(PluginError, match="the attack 'without a name' cannot be built: TypeError"):
        taken(type("Odd", (), {})())


@dataclass(frozen=True, kw_only=True)
class Fussy(ProjectedGradient):
    """Raises when a suite sets its parameters, and holds what can stand in no key."""

    scale: Any = 1.0

    def __post_init__(self) -> None:
        if self.steps == 3:
            raise SystemExit(0)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (float("nan"), "mine: its hyper-parameters make no key: ValueError: Out of range float"),
        (print, "mine: its hyper-parameters make no key: TypeError: builtin_function_or_method"),
        ([10**5000], "mine: its hyper-parameters make no key: ValueError: Exceeds the limit"),
        ("\ud800" * 2000, r"mine: its hyper-parameters take 12\d{3} characters, 10000 at most"),
    ],
)
def test_hyper_parameters_that_make_no_key_are_refused_in_a_line(scale: Any, message: str) -> None:
    made = declared(crafting=Fussy(steps=2, rule="l2", scale=scale))
    with pytest.raises(SuiteError, match=f"^{message}"):
        parameters_text(made)


def test_a_part_that_raises_when_a_suite_sets_it_is_named() -> None:
    made = declared(crafting=Fussy(steps=2, rule="l2"))
    with pytest.raises(SuiteError, match=r"^here: SystemExit: 0"):
        override(made, {"steps": 3}, "here")


@pytest.mark.parametrize("name", ["../x", "a/b", "=1", "a b", "\x1b[2J", ""])
def test_other_parts_have_names_that_can_stand_in_results(name: str) -> None:
    module = ModuleType("some")
    module.Part = type("Part", (Tiny,), {"name": name, "__module__": "some"})  # type: ignore[attr-defined]
    with pytest.raises(PluginError, match=r"^the name of Part must be letters, digits"):
        _classes([module], Backbone)  # type: ignore[type-abstract]


class MuteError(Exception):
    """Has no text, but raises."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\ud800"), "ValueError: \\ud800"),
        (ValueError("\x1b[31m\r\n  =1"), "ValueError: \\x1b[31m =1"),
        (AttackError("two\nlines"), "two lines"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (MuteError(), "MuteError without a readable text"),
        (RuntimeError(Text("x")), "RuntimeError: dhta"),
    ],
)
def test_an_exception_is_a_line(error: BaseException, line: str) -> None:
    assert error_line(error) == line


def test_a_long_text_loses_its_middle() -> None:
    text = one_line("a" * 20_000_000 + "\x1b" * 400 + " (see the log)")
    assert len(text) <= 1000
    assert text.endswith(" (see the log)")
    assert one_line(text) == text
    assert text.isprintable()


def test_ids_are_short() -> None:
    assert is_id("x" * 60)
    assert not is_id("x" * 61)
    assert attack(lambda _: None).help == ""  # type: ignore[arg-type,return-value]
