"""Damaged files of the cache are made again; what is no file is neither read nor replaced."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hashattack.benchmark.console import check_writable
from hashattack.benchmark.external.export import TrialFile
from hashattack.benchmark.external.submission import read_submission
from hashattack.benchmark.plugins import load_plugins
from hashattack.benchmark.regression.baseline import read_file
from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.store.journal import Journal
from hashattack.benchmark.suites.sources import read_yaml
from hashattack.datasets import digits
from hashattack.datasets.cifar import Cifar10
from hashattack.datasets.digits import Digits
from hashattack.datasets.errors import UserError
from hashattack.datasets.files import checked, with_checksum
from hashattack.datasets.image_files import DecodedImages, Framing, ImageFiles, content_hashes
from hashattack.datasets.image_lists import read_list
from hashattack.targets.state_dicts import read_state
from tests.conftest import run_cli
from tests.damages import DAMAGES, link_loop, sentence_allowed, spoil


@pytest.fixture(scope="module")
def pools() -> Iterator[None]:
    """Let the digits be read from their library once."""
    found = digits._digit_pools()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "_digit_pools", lambda: found)
        yield


@pytest.mark.usefixtures("pools")
@pytest.mark.parametrize("file", ["meta.json", "query-images.npy", "database-labels.npy"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_scenes_are_made_again(tmp_path: Path, file: str, damage: str) -> None:
    spec = Digits(n_train=2, n_query=2, n_database=2, side=32)
    fingerprint = spec.load(tmp_path).fingerprint
    path = spoil(tmp_path, f"*/{file}", damage)
    with sentence_allowed(path):
        assert spec.load(tmp_path).fingerprint == fingerprint


@pytest.mark.usefixtures("pools")
def test_any_bytes_in_the_header_of_an_array(tmp_path: Path) -> None:
    spec = Digits(n_train=2, n_query=2, n_database=2, side=32)
    fingerprint, draws = spec.load(tmp_path).fingerprint, random.Random(0)
    path = next(tmp_path.glob("*/query-labels.npy"))
    for _ in range(10):
        content = bytearray(path.read_bytes())
        content[draws.randrange(128)] = draws.choice(b"0129,()'{}[ \n")
        path.write_bytes(bytes(content))
        assert spec.load(tmp_path).fingerprint == fingerprint


@pytest.mark.parametrize("damage", DAMAGES)
def test_decoded_images_and_their_hashes_are_made_again(
    folder: Path, tmp_path: Path, damage: str
) -> None:
    paths = tuple(sorted(str(one.relative_to(folder)) for one in folder.rglob("*.png")))[:5]
    files, rows = ImageFiles(folder, paths, Framing(32, 32)), np.arange(5)
    whole, hashes = files.read(rows), content_hashes(folder, paths, tmp_path)
    kept = tmp_path / "kept.images"
    assert (DecodedImages(files, kept).read(rows) == whole).all()
    DAMAGES[damage](kept)
    with sentence_allowed(kept):
        assert (DecodedImages(files, kept).read(rows) == whole).all()
    index = spoil(tmp_path, "contents/*.json", damage)
    with sentence_allowed(index):
        assert content_hashes(folder, paths, tmp_path) == hashes


@pytest.mark.parametrize("file", ["journal.json", "journal-*.safetensors"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_none(tmp_path: Path, file: str, damage: str) -> None:
    Journal(tmp_path).save({"epoch": np.array(1)})
    spoil(tmp_path, file, damage)
    unchanged = damage == "numbers" and file != "journal.json"
    assert (Journal(tmp_path).load() is not None) == unchanged


def test_what_has_its_checksum_is_what_was_written() -> None:
    value = {"a": [1, 2.5, None, "ü", "\ud800"], "b": {"c": True, "d": 1e-300}}
    text = json.dumps(with_checksum(value))
    assert checked(text) == value
    for place in range(len(text)):
        for other in ("0", '"', "}", ""):
            changed = text[:place] + other + text[place + 1 :]
            assert checked(changed) in (None, value)


# -- what a file must not replace --------------------------------------------------------------


@pytest.mark.parametrize("how", ["a folder", "a pipe", "a link to itself", "a link", "a device"])
def test_only_a_file_is_replaced(tmp_path: Path, how: str) -> None:
    kept, path = tmp_path / "kept.json", tmp_path / "to.json"
    kept.write_text("kept")
    path.write_text("old")
    if how == "a device":
        path = Path("/dev/null")
    elif how in DAMAGES:
        DAMAGES[how](path)
    else:
        path.unlink()
        path.symlink_to(kept)
    before = path.lstat()
    with pytest.raises(UserError, match="is a link, a folder, a pipe or a device"):
        check_writable(path)
    with pytest.raises(FileExistsError, match="remove it, or name another file") as refused:
        write_bytes(path, b"new")
    assert refused.value.filename == str(path)
    assert path.lstat() == before
    assert kept.read_text() == "kept"


def test_a_link_to_itself_as_a_folder_is_a_sentence(tmp_path: Path) -> None:
    link_loop(tmp_path / "out")
    done = run_cli("status", "--out", str(tmp_path / "out"))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


READERS: dict[str, Callable[[Path], object]] = {
    "a.yaml": lambda path: read_yaml(str(path), "suite"),
    "plugin.py": lambda path: load_plugins([path]),
    "list.txt": read_list,
    "data_batch_1.bin": lambda path: Cifar10(root=str(path.parent)).load(path.parent),
    "base.json": read_file,
    "trials.json": TrialFile.read,
    "images.npy": lambda path: read_submission("images", path, (1, 3, 32, 32)),
    "codes.csv": lambda path: read_submission("codes", path, (1, 12)),
    "weights.pth": read_state,
    "weights.safetensors": read_state,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", ["a folder", "a pipe", "a link to itself"])
def test_what_is_no_file_is_no_input(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / name
    path.touch()
    DAMAGES[damage](path)
    # Of Path.resolve before Python 3.13; the command line makes a sentence of it.
    with pytest.raises((UserError, RuntimeError), match=name):
        READERS[name](path)
