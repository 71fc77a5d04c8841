"""The paper's numbers and ours in one long form: a line a number, under the paper's keys.

Ours take ties in database order, as the published evaluation does, and are means over seeds.
"""

from __future__ import annotations

import functools
from importlib import resources

import pandas as pd

from hashattack.reports.names import Names

KEYS = [
    "dataset",
    "method",
    "source_backbone",
    "source_bits",
    "victim_backbone",
    "victim_bits",
    "attack",
    "metric",
]
# The paper's names by attack id.
NAMES = {
    "original": "Original",
    "noise": "Noise",
    "p2p": "P2P",
    "dhta": "DHTA",
    "dhta-fgsm": "DHTA + FGSM",
    "dhta-ifgsm": "DHTA + I-FGSM",
    "prosgan": "ProS-GAN",
    "anchor-code": "Anchor code",
    "prototype-code": "Prototype code",
}
# The paper's metrics: our column and what it is multiplied by.
METRICS = {
    "t-MAP": ("t_map_stable", 100.0),
    "MAP": ("map_stable", 100.0),
    "perceptibility_x100": ("perceptibility", 100.0),
    "seconds_per_image": ("seconds_per_image", 1.0),
}

# What rows of one number must have in common.
_SETTING = ("dataset_fingerprint", "n_queries", "params", "policy", "protocol")


@functools.cache
def published() -> pd.DataFrame:
    """Return the paper's 462 numbers: ``table``, the keys, ``value`` (t-MAP in percent)."""
    path = resources.files("hashattack.reports") / "published.csv"
    frame = pd.read_csv(path.open(encoding="utf-8"), dtype="string")
    return _without_source(frame.astype({"value": "float64"}))


def _without_source(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with Original's source empty: it is not made on any."""
    original = frame["attack"] == "Original"
    sources = ["source_backbone", "source_bits"]
    frame[sources] = frame[sources].mask(original, "").fillna("")
    return frame


def measured(results: pd.DataFrame) -> pd.DataFrame:
    """Return our numbers in the same form, with ``status``; one whose cell is not ok has no value.

    They are means over seeds and nothing else: what was measured on other queries, contents or
    hyper-parameters under the same keys is ``ambiguous``. Variants of an attack (an alpha that
    differs, say) are not the paper's rows and are left out.
    """
    rows = results[results["variant"].fillna("") == ""]
    columns = {"dataset": rows["dataset"], "method": rows["victim_method"]}
    for end in ("source", "victim"):
        columns |= {name: rows[name] for name in (f"{end}_backbone", f"{end}_bits")}
    names = Names(results)
    titles = pd.Series([names.of(row).title for row in rows.to_dict("records")], rows.index)
    columns["attack"] = rows["attack"].map(NAMES).fillna(titles.astype("string"))
    base = _without_source(pd.DataFrame(columns).astype("string"))
    setting = rows[list(_SETTING)].astype("string").fillna("").agg(" ".join, axis=1)
    long = [
        base.assign(
            metric=metric, value=rows[column] * factor, status=rows["status"], setting=setting
        )
        for metric, (column, factor) in METRICS.items()
    ]
    groups = pd.concat(long).groupby(KEYS, sort=False, dropna=False)
    status = groups["status"].agg(_worst)
    status = status.mask(groups["setting"].nunique() > 1, "ambiguous")
    means = groups["value"].mean().where(status == "ok").rename("value")
    return pd.concat([means, status.rename("status")], axis=1).reset_index()


def _worst(statuses: pd.Series[str]) -> str:
    bad = [status for status in statuses if status != "ok"]
    return bad[0] if bad else "ok"
