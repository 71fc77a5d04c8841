"""What check-plugin found is remembered for exactly the text it looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from hashattack.benchmark.contract import memory


def test_a_run_knows_what_a_check_found(tmp_path: Path) -> None:
    file, cache = tmp_path / "mine.py", tmp_path / "cache"
    file.write_text("import helper\n", encoding="utf-8")
    (tmp_path / "helper.py").write_text("A = 1\n", encoding="utf-8")
    assert list(memory.told([file], cache)) == [
        f"{file}: nobody checked yet whether it keeps the contract: check-plugin {file}"
    ]
    memory.remember([file], [], cache)
    assert not list(memory.told([file], cache))
    (tmp_path / "helper.py").write_text("A = 2\n", encoding="utf-8")
    assert "nobody checked yet" in next(memory.told([file], cache)), "another text"
    memory.remember([file], ["mine (paper): it cheats", "another"], cache)
    assert list(memory.told([file], cache)) == [
        f"{file} breaks the contract, its rows are no fair results: mine (paper): it cheats and 1 "
        "more"
    ]


def test_another_program_checks_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    file.touch()
    memory.remember([file], [], tmp_path)
    monkeypatch.setattr(memory, "program_digest", lambda: "edited")
    assert "nobody checked yet" in next(memory.told([file], tmp_path))
