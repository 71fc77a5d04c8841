"""Checks in a process of their own, which a plug-in can end, block or exit without any harm.

The process sends JSON, so that no code of a plug-in runs where the results are read, which needs
no torch.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from hashattack.benchmark.contract.checks import Begin, Result
from hashattack.datasets.errors import UserError
from hashattack.datasets.texts import error_line


class CheckProcessError(Exception):
    """A fault of this program in the process of the checks."""


def results_of(
    files: Sequence[Path], attacks: Sequence[str], cache: Path, timeout: float
) -> Iterator[Result]:
    """Yield the results of plug-in files, or of attacks by id, as they are made.

    Where a check takes longer than ``timeout`` seconds or ends the process, it has failed, and
    those after it are not made.

    Raises:
        UserError: a file that cannot be imported or declares nothing, an unknown attack.
        CheckProcessError: this program failed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(theirs, list(files), list(attacks), cache), daemon=True
    )
    process.start()
    theirs.close()
    subject, left = "", list[str]()  # the checks to be made; the first one runs
    why = "ended its process"
    try:
        while True:
            ready = wait([ours, process.sentinel], timeout if left else None)
            if ours not in ready and not ours.poll():
                why = why if ready else f"took longer than {timeout:g} s (--timeout)"
                break
            try:
                message: dict[str, Any] = json.loads(ours.recv_bytes())
            except (EOFError, OSError, ValueError):  # it ended, perhaps in the middle of a message
                break
            match message:
                case {"end": _}:
                    return
                case {"begin": subject, "checks": left}:
                    pass
                case {"result": result}:
                    yield Result(**result)
                case {"refused": text}:
                    raise UserError(text)
                case {"crashed": text}:
                    raise CheckProcessError(text)
                case {"raised": why}:
                    break
    finally:
        process.kill()
        process.join()
    if not left:
        raise CheckProcessError(f"the process of the checks ended with {process.exitcode}")
    yield Result(subject, left[0], "failed", f"the check '{left[0]}' {why}")
    for name in left[1:]:
        yield Result(subject, name, "skipped", f"not run, as the check '{left[0]}' failed")


def _work(connection: Connection, files: list[Path], attacks: list[str], cache: Path) -> None:
    """Make the checks and send what comes of them."""
    from hashattack.benchmark.contract.plugin import checked
    from hashattack.benchmark.engines.local import start_worker

    def send(**message: Any) -> None:
        connection.send_bytes(json.dumps(message).encode())

    start_worker(os.getppid())  # so that it ends with the process that reads the results
    try:
        begin: Begin = lambda subject, left: send(begin=subject, checks=list(left))  # noqa: E731
        for result in checked(files, attacks, cache, begin):
            send(result=asdict(result))
        send(end=True)
    except (UserError, OSError) as error:
        send(refused=error_line(error))
    except Exception:  # noqa: BLE001 - the checks catch what a plug-in raises
        send(crashed=traceback.format_exc())
    except BaseException as error:  # noqa: BLE001 - they do not catch the likes of Ctrl-C
        send(raised=f"raises {error_line(error)}")
