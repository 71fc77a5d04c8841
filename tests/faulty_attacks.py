"""The honest attack with one fault each in what it declares or hands over, and the finding."""

from __future__ import annotations

from tests.honest_attack import HONEST, NUMBER, crafts, has, learns, names

FAULTS = {
    "id": (HONEST.replace('id="faulty"', 'id="faulty, one"'), "id", "its id 'faulty, one' is not"),
    "title": (HONEST.replace('"Faulty"', '" "'), "id", "it has no title"),
    "a function for a parameter": (
        has("scale: Any = field(default=abs)"),
        "parameters",
        "its hyper-parameters make no job key: builtin_function_or_method has no canonical form",
    ),
    "NaN for a parameter": (
        has('scale: float = float("nan")'),
        "parameters",
        "its hyper-parameters make no job key: Out of range float values",
    ),
    "a parameter that differs": (
        has("scale: int = field(default_factory=lambda: KEPT.setdefault(len(KEPT), len(KEPT)))"),
        "parameters",
        "built twice, its hyper-parameters differ",
    ),
    "a type a suite cannot check": (
        has("scale: threading.Lock = None"),
        "parameters",
        "a suite cannot set its hyper-parameters: Unable to generate pydantic-core schema",
    ),
    "two parameters of one name": (
        has("n_t: int = 9"),
        "parameters",
        "a suite cannot set its hyper-parameters: faulty: two hyper-parameters are called 'n_t'",
    ),
    "no decorator": (
        HONEST.replace("@dataclass(frozen=True, kw_only=True)\nclass Faulty", "class Faulty"),
        "parameters",
        "'scale' of Faulty is no hyper-parameter: decorate the class with @dataclass",
    ),
    "a lock": (
        has('scale: Any = field(default_factory=threading.Lock, metadata={"key": False})'),
        "worker",
        "it cannot be sent to a worker: TypeError: cannot pickle '_thread.lock' object",
    ),
    "zero in a code": (names("codes * 0"), "codes", "its target codes contain 0, not only"),
    "half a code": (
        names("codes[:, :6]"),
        "codes",
        r"its target codes have the shape \(6, 6\), not \(6, 12\)",
    ),
    "no tensor for codes": (
        names("codes.numpy()"),
        "codes",
        "its target codes are a ndarray, not a tensor",
    ),
    "grey": (
        crafts("return out[:, :1]"),
        "shape",
        r"its images have the shape \(6, 1, 32, 32\) for queries of the shape \(6, 3, 32, 32\)",
    ),
    "no tensor": (
        crafts("return out.numpy()"),
        "shape",
        "the attack returned ndarray, expected a tensor",
    ),
    "a tensor with a mind of its own": (
        crafts("return out.as_subclass(type('Image', (torch.Tensor,), {}))"),
        "shape",
        "the attack returned Image, expected a tensor",
    ),
    "codes that lead back": (
        names("codes.float().requires_grad_()"),
        "codes",
        r"its target codes cannot be stored: Can't call numpy\(\) on Tensor that requires grad",
    ),
    "a fit that returns two": (
        learns("return {}, {}"),
        "codes",
        r"its fit must return Fitted\(state, curves\), returned tuple",
    ),
    "a fit that learns a tensor": (
        learns("return Fitted({'x': torch.zeros(3)}, {})"),
        "codes",
        "the state of its fit must hold NumPy arrays, 'x' is a Tensor",
    ),
    "a state with a tensor": (
        learns("journal.save({'x': torch.zeros(3)})\nreturn Fitted({}, {})"),
        "codes",
        "the state of journal.save must hold NumPy arrays, 'x' is a Tensor",
    ),
    "curves of tensors": (
        learns("return Fitted({}, {'loss': [torch.zeros(())]})"),
        "codes",
        "the curves of its fit must be lists of numbers by name: Object of type Tensor",
    ),
    "double": (
        crafts("return out.double()"),
        "dtype",
        "its images are torch.float64 where the queries are torch.float32",
    ),
    "NaN": (
        crafts(
            'out[:, 0, 0, 0] = float("nan") if epsilon else 0\nreturn out if epsilon else images'
        ),
        "finite",
        "6 of its pixels are NaN or infinite",
    ),
    "NaN everywhere": (
        crafts('return out * float("nan")'),
        "finite",
        "18432 of its pixels are NaN or infinite",
    ),
    "NaN without a budget": (
        crafts("return (images + (out - images) / epsilon * epsilon).clamp(0, 1)"),
        "zero",
        "at a budget of zero 18432 of its pixels are NaN",
    ),
    "out of range": (
        crafts("return images - epsilon"),
        "range",
        rf"its pixels leave \[0, 1\]: they go from -{NUMBER} to 0\.{NUMBER}",
    ),
    "twice the budget": (
        crafts("return (images + 2 * epsilon).clamp(0, 1)"),
        "budget",
        r"it breaks its budget: L-infinity 16\.0000/255 exceeds the declared budget of 8\.0000/255",
    ),
    "its own budget": (
        crafts("return (images + 4 / 255).clamp(0, 1)"),
        "zero",
        r"at a budget of zero its images differ from the queries by 0\.0157",
    ),
    "kept images": (
        crafts(
            "keys = [(int(row), images.dtype, epsilon) for row in batch.rows]\n"
            "return torch.stack([KEPT.setdefault(key, one) for key, one in zip(keys, out)])"
        ),
        "looks",
        "it does not look at its images: 6 of 6 mirrored queries change nothing",
    ),
    "the database": (
        HONEST.replace("pool=protocol.anchor_pool", 'pool="database"'),
        "codes",
        "it raises AttackError: this protocol does not show the database to an attacker",
    ),
    "exits": (
        crafts("raise SystemExit(0)"),
        "shape",
        r"it raises SystemExit \(plugin_under_test.py, line \d+\): 0",
    ),
    "raises": (
        crafts("return out / 0 if epsilon is None else 1 / 0"),
        "shape",
        r"it raises ZeroDivisionError \(plugin_under_test.py, line \d+\): division by zero",
    ),
}
