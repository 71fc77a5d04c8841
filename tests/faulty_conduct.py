"""The honest attack with one fault each in how it goes about it, and the finding."""

from __future__ import annotations

from tests.honest_attack import NUMBER, crafts, knows, learns, names

BESIDE = 'Path(knowledge.train_images.array.filename).with_name("query-labels.npy")'
CHANGED = "the attack changed the hasher it was shown: "
DATABASE = BESIDE.replace("query", "database")
FAULTS = {
    "a weight": (
        crafts("hasher.hash_layer.weight.fill_(1)\nreturn out"),
        "hasher",
        CHANGED + "other values in hash_layer.weight$",
    ),
    "a buffer": (
        crafts("hasher.scale.fill_(2)\nreturn out"),
        "hasher",
        CHANGED + "other values in scale$",
    ),
    "training": (
        crafts("hasher.hash_layer.train()\nreturn out"),
        "hasher",
        CHANGED + "hash_layer is in training mode$",
    ),
    "requires_grad": (
        crafts("hasher.requires_grad_(True)\nreturn out"),
        "hasher",
        CHANGED + r"trunk\.0\.weight requires a gradient$",
    ),
    "a hook": (
        crafts("hasher.register_forward_hook(lambda *_: None)\nreturn out"),
        "hasher",
        CHANGED + "a hook is on the hasher$",
    ),
    "a setting": (
        crafts("hasher.trunk[1].eps = 0.0001\nreturn out"),
        "hasher",
        CHANGED + r"eps of trunk\.1 is 0\.0001$",
    ),
    "a class": (
        crafts(
            "kind, forward = type(hasher), type(hasher).forward\n"
            "kind.forward = lambda *given: forward(*given)\nreturn out"
        ),
        "hasher",
        CHANGED + r"Hasher\.forward was replaced$",
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
        "it changes what it is given: the training labels$",
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
        "random",
        "it moves the global random state of torch",
    ),
    "numpy's state": (
        crafts("return images + (out - images) * np.random.random()"),
        "random",
        "it moves the global random state of numpy",
    ),
    "python's state": (
        crafts("return images + (out - images) * random.random()"),
        "random",
        "it moves the global random state of python",
    ),
    "a state read": (
        crafts("return images + (out - images) / (2 + torch.initial_seed())"),
        "random",
        f"it reads global random state: its images differ by up to {NUMBER} where that is seeded",
    ),
    "hidden labels": (
        knows(f"float(np.load({BESIDE})[0] @ np.arange(10)) / 45"),
        "hidden",
        f"it reads labels that are hidden from it: its images differ by up to {NUMBER} where they",
    ),
    "labels of the hidden database": (
        knows(f"float(np.load({DATABASE})[-9:] @ np.arange(10) @ WEIGHTS)"),
        "hidden",
        f"it reads labels that are hidden from it: its images differ by up to {NUMBER} where they",
    ),
    "codes of others": (
        names("codes.roll(1, 0)"),
        "order",
        r"in another order, \d of 6 queries get another target code",
    ),
    "images of others": (
        crafts("return (images + (out - images).roll(1, 0)).clamp(0, 1)"),
        "order",
        f"in another order, queries get other images, which differ by up to {NUMBER}",
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
