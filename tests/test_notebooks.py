"""The notebooks of the documentation run, and are kept as they ran."""

from __future__ import annotations

import base64
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT, SmokeRun

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_kept_with_its_outputs(file: Path) -> None:
    content = file.read_text(encoding="utf-8")
    cells = [cell for cell in nbformat.reads(content, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(output.output_type in ("execute_result", "display_data") for output in outputs)
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.data]
    assert pictures
    assert sum(len(base64.b64decode(picture)) for picture in pictures) < 300_000
    assert "/home/" not in content
    assert "/root" not in content


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs(
    file: Path, smoke: SmokeRun, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hashattack").symlink_to(cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("RUN", str(smoke.out))
    notebook = nbformat.read(file, 4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
