"""Image files of every kind are decoded to what a viewer shows, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hashattack.datasets.base import DatasetError
from hashattack.datasets.doctor import examine
from hashattack.datasets.image_files import Framing, decode
from tests.photos import Pixels, spec, texts

WHOLE = Framing(32, 32)
HALF = np.repeat([255, 0], 16).astype(np.uint8)[None].repeat(32, 0)  # opaque on the left


def blocks() -> Pixels:
    """Return 32 × 32 pixels in blocks, none of them white, so that JPEG keeps them."""
    few = np.random.default_rng(0).integers(0, 200, (4, 4, 3), dtype=np.uint8)
    return few.repeat(8, 0).repeat(8, 1)


def turned(orientation: int) -> dict[str, Any]:
    exif = Image.Exif()
    exif[274] = orientation
    return {"exif": exif}


RGB = blocks()
GREY = RGB[..., 0]
ON_WHITE = np.where(HALF[..., None] > 0, RGB, 255)
KINDS = [
    ("grey.png", Image.fromarray(GREY), {}, GREY),
    ("grey16.png", Image.fromarray(GREY.astype(np.uint16) * 257), {}, GREY),
    ("black and white.png", Image.fromarray(GREY > 99), {}, (GREY > 99) * 255),
    ("cmyk.jpg", Image.fromarray(RGB).convert("CMYK"), {"quality": 100}, RGB),
    ("cmyk.tif", Image.fromarray(RGB).convert("CMYK"), {}, RGB),
    ("alpha.png", Image.fromarray(np.dstack([RGB, HALF])), {}, ON_WHITE),
    ("alpha.tif", Image.fromarray(np.dstack([RGB, HALF])), {}, ON_WHITE),
    ("grey alpha.png", Image.fromarray(np.dstack([GREY, HALF])), {}, ON_WHITE[..., :1]),
    ("palette.png", Image.fromarray(HALF).convert("P"), {"transparency": 0}, 255),
    ("palette.gif", Image.fromarray(HALF).convert("P"), {}, HALF),
    (
        "turned.jpg",
        Image.fromarray(RGB),
        {**turned(6), "quality": 100, "subsampling": 0},
        np.rot90(RGB, -1),
    ),
    ("turned.png", Image.fromarray(RGB), turned(3), np.rot90(RGB, 2)),
    ("mirrored.tif", Image.fromarray(RGB), turned(2), RGB[:, ::-1]),
    (
        "damaged.jpg",
        Image.fromarray(RGB),
        {"exif": b"Exif\0\0MM", "quality": 100, "subsampling": 0},
        RGB,
    ),
]


@pytest.mark.parametrize(("name", "image", "options", "seen"), KINDS, ids=[k[0] for k in KINDS])
def test_an_image_is_decoded_as_a_viewer_shows_it(
    name: str, image: Image.Image, options: dict[str, Any], seen: Any, tmp_path: Path
) -> None:
    image.save(tmp_path / name, **options)
    seen = np.asarray(seen)[..., None] if np.ndim(seen) == 2 else np.asarray(seen)
    found = decode(tmp_path / name, WHOLE).transpose(1, 2, 0).astype(int)
    assert np.abs(found - seen).max() <= 3 * name.endswith(".jpg")


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("float.tif", Image.fromarray(GREY.astype(np.float32) / 255)),
        ("grey16.tif", Image.fromarray(GREY.astype(np.uint16))),
        ("grey32.tif", Image.fromarray(GREY.astype(np.int32))),
        ("lab.tif", Image.new("LAB", (32, 32))),
    ],
)
def test_an_image_without_a_white_is_refused_by_name(
    name: str, image: Image.Image, folder: Path, tmp_path: Path
) -> None:
    image.save(folder / "img" / name)
    (folder / "img/4.png").write_bytes((folder / "img" / name).read_bytes())
    found = examine(spec(folder).inspect(tmp_path), n_t=1)
    assert not found.healthy
    data = spec(folder).load(tmp_path)
    with pytest.raises(DatasetError, match=r"img/4.png: .* does not say what is white") as caught:
        data.train.images.read(np.array([1]))
    assert str(caught.value) in texts(found)


def test_no_program_is_run_to_read_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.eps")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(DatasetError, match=r"a.eps: not a readable image"):
        decode(tmp_path / "a.eps", WHOLE)


def test_a_reader_that_fails_in_any_way_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")

    def fails(image: Image.Image) -> None:
        raise KeyError("chunk")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fails)
    with pytest.raises(DatasetError, match=r"a.png: not a readable image \('chunk'\)"):
        decode(tmp_path / "a.png", WHOLE)
