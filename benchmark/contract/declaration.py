"""What can be said of a declared value before it runs: its name, its parameters, its journey."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from joblib.externals.loky.backend.reduction import dumps

from hashattack.benchmark.contract.checks import first_line
from hashattack.benchmark.contract.subject import Subject
from hashattack.benchmark.names import ID_RULE, is_id
from hashattack.benchmark.plugins import FOREIGN
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.suites.parameters import hyper_parameters, override


def proper_id(subject: Subject) -> str | None:
    """It can stand in file names, globs and result rows."""
    if not is_id(subject.built.id):
        return f"its id '{subject.built.id}' is not {ID_RULE}"
    return None if subject.built.title.strip() else "it has no title"


def parameters(subject: Subject) -> str | None:
    """Its hyper-parameters make a job's key, and a suite can set them."""
    built = subject.built
    for part in (built.target_code, built.crafting, built):
        if part is not None and (found := key_fault(part)):
            return found
    if canonical_json(subject.build(subject.protocol)) != canonical_json(built):
        return "built twice, its hyper-parameters differ"
    try:
        again = canonical_json(override(built, hyper_parameters(built), built.id))
    except FOREIGN as error:  # pydantic's own too, about types it cannot check
        return f"a suite cannot set its hyper-parameters: {first_line(error)}"
    if again != canonical_json(built):
        return "where a suite sets its hyper-parameters, others come out"
    return None


def key_fault(value: Any) -> str | None:
    """Return why a declared value makes no job key, or not one of all its parameters, or None."""
    cls = type(value)
    if forgotten := _no_fields(cls):
        return (
            f"'{forgotten[0]}' of {cls.__name__} is no hyper-parameter: decorate the class with "
            "@dataclass(frozen=True, kw_only=True)"
        )
    try:
        canonical_json(value)
    except (TypeError, ValueError) as error:
        return f"its hyper-parameters make no job key: {first_line(error)}"
    return None


def _no_fields(cls: type[Any]) -> list[str]:
    """Return the annotated names of a class that its dataclass does not know."""
    fields = {field.name for field in dataclasses.fields(cls)}
    return [
        name
        for base in cls.__mro__
        for name, annotation in inspect.get_annotations(base).items()
        if name not in fields and "ClassVar" not in str(annotation)
    ]


def pickles(subject: Subject) -> str | None:
    """It can be sent to a worker."""
    return pickle_fault(subject.built)


def pickle_fault(value: Any) -> str | None:
    """Return why a value cannot be sent to a worker, by loky's pickler, or None."""
    try:
        dumps(value)  # read again here, it would change its own class
    except FOREIGN as error:  # pickling fails with all sorts
        return f"it cannot be sent to a worker: {type(error).__name__}: {first_line(error)}"
    return None
