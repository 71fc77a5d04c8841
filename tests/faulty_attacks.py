"""The honest attack with one fault each, the check that finds it, and how its message begins."""

from __future__ import annotations

from tests.honest_attack import HONEST, NUMBER, crafts, has, knows, learns, names

CHANGED = "the attack changed the hasher it was shown: "
PEEK = """
import contextlib, sys
frame = sys._getframe()
while frame is not None:
    for value in list(frame.f_locals.values()):
        with contextlib.suppress(Exception):
            value.{}.labels
    frame = frame.f_back
return out
"""
FAULTS = {
    "a function for a parameter": (
        has("scale: Any = field(default=abs)"),
        "declaration",
        "its hyper-parameters make no key: it raises TypeError: builtin_function_or_method has no",
    ),
    "NaN for a parameter": (
        has('scale: float = float("nan")'),
        "declaration",
        "its hyper-parameters make no key: it raises ValueError: Out of range float values",
    ),
    "a parameter that differs": (
        has("scale: int = field(default_factory=lambda: KEPT.setdefault(len(KEPT), len(KEPT)))"),
        "declaration",
        "built twice, its hyper-parameters differ",
    ),
    "a type a suite cannot check": (
        has("scale: threading.Lock = None"),
        "declaration",
        "a suite cannot set its hyper-parameters: faulty: PydanticSchemaGenerationError: Unable",
    ),
    "a book for a parameter": (
        has("scale: str = 20_000 * 'x'"),
        "declaration",
        "faulty: its hyper-parameters take 20[0-9]{3} characters, 10000 at most",
    ),
    "two parameters of one name": (
        has("n_t: int = 9"),
        "declaration",
        "faulty: two hyper-parameters are called 'n_t'",
    ),
    "no decorator": (
        HONEST.replace("@dataclass(frozen=True, kw_only=True)\nclass Faulty", "class Faulty"),
        "declaration",
        "'scale' of Faulty is no hyper-parameter: decorate the class with @dataclass",
    ),
    "a lock": (
        has('scale: Any = field(default_factory=threading.Lock, metadata={"key": False})'),
        "declaration",
        "it cannot be sent to a worker: it raises TypeError: cannot pickle '_thread.lock' object",
    ),
    "zero in a code": (names("codes * 0"), "run", "faulty: its target codes contain 0, not only"),
    "half a code": (
        names("codes[:, :6]"),
        "run",
        r"faulty: its target codes are a Tensor \(6, 6\), not a Tensor \(6, 12\)",
    ),
    "no tensor for codes": (
        names("codes.tolist()"),
        "run",
        r"faulty: its target codes are a list \(6, 12\), not a Tensor \(6, 12\)",
    ),
    "grey": (
        crafts("return out[:, :1]"),
        "run",
        r"the attack returned images of shape \(6, 1, 32, 32\), expected \(6, 3, 32, 32\)",
    ),
    "no tensor": (
        crafts("return out.numpy()"),
        "run",
        "the attack returned ndarray, expected a tensor",
    ),
    "a tensor with a mind of its own": (
        crafts("return out.as_subclass(type('Image', (torch.Tensor,), {}))"),
        "run",
        "the attack returned Image, expected a tensor",
    ),
    "a fit that returns two": (
        learns("return {}, {}"),
        "run",
        r"its fit must return Fitted\(state, curves\), NumPy .* by name, and returned \({}, {}\)",
    ),
    "a fit that learns a tensor": (
        learns("return Fitted({'x': torch.zeros(3)}, {})"),
        "run",
        r"its fit must return Fitted\(state, curves\), .*, and returned Fitted\(state={'x': tensor",
    ),
    "a state with a tensor": (
        learns("journal.save({'x': torch.zeros(3)})\nreturn Fitted({}, {})"),
        "run",
        "journal.save takes NumPy arrays by name, got {'x': tensor",
    ),
    "curves of tensors": (
        learns("return Fitted({}, {'loss': [torch.zeros(())]})"),
        "run",
        r"its fit must return Fitted\(state, curves\), NumPy arrays and lists of numbers by name",
    ),
    "double": (
        crafts("return out.double()"),
        "images",
        "its images are torch.float64, queries torch.float32",
    ),
    "NaN": (
        crafts(
            'out[:, 0, 0, 0] = float("nan") if epsilon else 0\nreturn out if epsilon else images'
        ),
        "images",
        "the attack returned NaN or infinite pixels",
    ),
    "NaN without a budget": (
        crafts("return (images + (out - images) / epsilon * epsilon).clamp(0, 1)"),
        "zero_budget",
        "with a budget of zero its images differ from the queries by inf",
    ),
    "out of range": (
        crafts("return images - epsilon"),
        "images",
        rf"the attack returned pixels outside \[0, 1\]: from -{NUMBER} to 0\.{NUMBER}",
    ),
    "twice the budget": (
        crafts("return (images + 2 * epsilon).clamp(0, 1)"),
        "images",
        r"L-infinity 16\.0000/255 exceeds the declared budget of 8\.0000/255",
    ),
    "its own budget": (
        crafts("return (images + 4 / 255).clamp(0, 1)"),
        "zero_budget",
        r"with a budget of zero its images differ from the queries by 0\.0157",
    ),
    "the database": (
        HONEST.replace("pool=protocol.anchor_pool", 'pool="database"'),
        "run",
        "this protocol does not show the database to an attacker",
    ),
    "exits": (
        crafts("raise SystemExit(0)"),
        "run",
        r"it raises SystemExit \(plugin_under_test.py, line \d+\): 0",
    ),
    "raises": (
        crafts("return out / 0 if epsilon is None else 1 / 0"),
        "run",
        r"it raises ZeroDivisionError \(plugin_under_test.py, line \d+\): division by zero",
    ),
    "a weight": (
        crafts("hasher.hash_layer.weight.fill_(1)\nreturn out"),
        "hasher",
        CHANGED + "the values of hash_layer.weight$",
    ),
    "a buffer": (
        crafts("hasher.scale.fill_(2)\nreturn out"),
        "hasher",
        CHANGED + "the values of scale$",
    ),
    "training": (
        crafts("hasher.hash_layer.train()\nreturn out"),
        "hasher",
        CHANGED + "training of hash_layer is True, was False$",
    ),
    "requires_grad": (
        crafts("hasher.requires_grad_(True)\nreturn out"),
        "hasher",
        CHANGED + r"requires_grad of trunk\.0\.weight is True, was False$",
    ),
    "a hook": (
        crafts("hasher.register_forward_hook(lambda *_: None)\nreturn out"),
        "hasher",
        CHANGED + "_forward_hooks of the hasher is 1, was 0$",
    ),
    "a setting": (
        crafts("hasher.trunk[1].eps = 0.0001\nreturn out"),
        "hasher",
        CHANGED + r"eps of trunk\.1 is 0\.0001, was 1e-05$",
    ),
    "another activation": (
        crafts("hasher.trunk.register_module('2', torch.nn.Tanhshrink())\nreturn out"),
        "hasher",
        CHANGED,
    ),
    "in place": (
        crafts("return images.add_(epsilon).clamp_(0, 1)"),
        "inputs",
        "it changes what it is given: the images of its batch$",
    ),
    "labels in place": (
        names("(knowledge.train.labels[-1].fill(0), codes)[1]"),
        "inputs",
        "it changes what it is given: the labels of its training set$",
    ),
    "counting": (
        crafts("KEPT[0] = KEPT.get(0, 0) + 1\nreturn images + (out - images) / KEPT[0]"),
        "repeats",
        f"crafting the same batch twice gives images that differ by up to {NUMBER}",
    ),
    "unseeded": (
        knows("np.random.default_rng().random()"),
        "repeats",
        f"it does not repeat under its seed: its images differ by up to {NUMBER}",
    ),
    "codes unseeded": (
        names("torch.from_numpy(np.random.default_rng().choice([-1, 1], codes.shape))"),
        "repeats",
        r"it does not repeat under its seed: its target codes differ in \d+ bits",
    ),
    "a fit unseeded": (
        learns("return Fitted({'x': np.random.default_rng().random(3)}, {})"),
        "repeats",
        f"it does not repeat under its seed: what its parts learn differs by up to {NUMBER}",
    ),
    "torch's state": (
        crafts("return images + (out - images) * torch.rand_like(images)"),
        "repeats",
        "it moves the global random state of torch",
    ),
    "numpy's state": (
        crafts("return images + (out - images) * np.random.random()"),
        "repeats",
        "it moves the global random state of numpy",
    ),
    "python's state": (
        crafts("return images + (out - images) * random.random()"),
        "repeats",
        "it moves the global random state of python",
    ),
    "a state read": (
        crafts("return images + (out - images) / (2 + torch.initial_seed())"),
        "repeats",
        f"it reads global random state: its images differ by up to {NUMBER} where that is seeded",
    ),
    "hidden labels": (
        crafts(PEEK.format("query")),
        "run",
        "the attack reads the queries' labels, which the threat model hides",
    ),
    "labels of the hidden database": (
        crafts(PEEK.format("database")),
        "run",
        "the attack reads the database's labels, which the threat model hides",
    ),
    "a hasher that it does not need": (
        has("needs_code = needs_hasher = False")
        .replace("target_code=rule", "target_code=None")
        .replace("codes = batch.images, batch.codes", "codes = batch.images, hasher(batch.images)"),
        "run",
        "needs_hasher is False, so the attack sees no hasher; set it to True",
    ),
    "codes of others": (
        names("codes.roll(1, 0)"),
        "batch",
        r"in another order, \d queries get another target code",
    ),
    "images of others": (
        crafts("return (images + (out - images).roll(1, 0)).clamp(0, 1)"),
        "batch",
        f"in another order, images differ by up to {NUMBER}",
    ),
    "batch statistics": (
        crafts("return images + (out - images) * torch.tanh(images.std(dim=0, correction=0))"),
        "batch",
        "its images depend on the batch they are in: batches of 1 and 6 differ by up to " + NUMBER,
    ),
    "codes of a crowd": (
        names("codes * (1 if len(rows) > 4 else -1)"),
        "batch",
        "its target codes depend on the other queries: those of the first 4 change without",
    ),
    "raises for one": (
        crafts("return out if len(out) > 1 else out[1]"),
        "batch",
        r"it raises IndexError \(plugin_under_test.py, line \d+\): index 1 is out of bounds",
    ),
}
