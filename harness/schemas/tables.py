"""What the tables of a finished run hold, by command: columns, kinds and cells, and what must agree."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.records import SLOPE, STATISTICS, VALUE, Manifest
from harness.schemas.manifests import CONFIGS, MOST, RANKED

if TYPE_CHECKING:
    import pandas as pd


def _kinds(**columns: str) -> dict[str, str]:
    """By column what it holds. columns: by kind the names; a kind that ends in ``_or_none`` may miss a value."""
    return {name: kind.replace("_or_none", "?") for kind, names in columns.items() for name in names.split()}


KEYS = _kinds(text="dataset checkpoint pool measure")
PAIRED = _kinds(whole="n wins ties losses", real_or_none="mean_difference ci_low ci_high t p p_holm")
AGAINST = _kinds(text="measure pool baseline") | PAIRED
MEAN = _kinds(real="value ci_low ci_high", whole="n_queries", real_or_none="retained")
PLACE = {"eval": _kinds(text="arm", whole="length"), "stress": _kinds(text="inject", whole="count")}
TESTED = PLACE | {"eval": _kinds(text="arm statistic", whole_or_none="length")}
SWEPT = PLACE | {"eval": _kinds(text="arm", whole_or_none="length")}
CONCENTRATED = "gini gini_low gini_high top_share effective_patches zero_share gini_standard"
SHARES = _kinds(real_or_none="hijack_rate retained_low retained_high")
SYNTH = _kinds(
    text="pool measure split statistic inject", whole="train_length support", whole_or_none="epoch length count"
)
TABLES: dict[tuple[str, str], dict[str, str]] = {
    ("eval", "summary.csv"): KEYS | SWEPT["eval"] | MEAN,
    ("eval", "tests.csv"): TESTED["eval"] | AGAINST,
    ("eval", "per_query.parquet"): KEYS | SWEPT["eval"] | _kinds(text="query_id", real="value"),
    ("stress", "summary.csv"): KEYS | PLACE["stress"] | MEAN | SHARES,
    ("stress", "tests.csv"): PLACE["stress"] | AGAINST,
    ("stress", "per_query.parquet"): KEYS | PLACE["stress"] | _kinds(text="query_id", real_or_none="value"),
    ("gradients", "summary.csv"): _kinds(text="pool", whole="length n_pairs", real_or_none=CONCENTRATED),
    ("gradients", "tests.csv"): _kinds(whole="length") | AGAINST,
    ("synth", "summary.csv"): SYNTH | _kinds(real="value", real_or_none="ci_low ci_high", whole="n_seeds"),
    ("synth", "tests.csv"): SYNTH | AGAINST,
    ("", "texts.parquet"): _kinds(text="kind query_id id text", whole="relevance"),
    ("", "alignment.parquet"): _kinds(
        text="query_id doc_id inject token before_text after_source",
        whole="count before_patch after_patch",
        real="before_similarity after_similarity",
    ),
}


def columns(manifest: Manifest, file: str) -> dict[str, str]:
    """What a file of a run holds, by column: text, whole or real; with a question mark where a value may be missing."""
    if manifest.command != "compare" or ("", file) in TABLES:
        return TABLES.get(("", file)) or TABLES.get((manifest.command, file), {})
    of = manifest.config["of"]
    if file == "queries.parquet":
        return PLACE[of] | _kinds(text="measure pool query_id run", real="value value_baseline difference")
    return TABLES[of, file] | {"run": "text"}


def current(manifest: Manifest, file: str, table: pd.DataFrame) -> pd.DataFrame:
    """A table as this version writes it: before there was a column ``statistic``, ``length`` held the word slope."""
    if "statistic" not in columns(manifest, file) or "statistic" in table or "length" not in table:
        return table
    slope = (table["length"] == SLOPE).fillna(False)
    table = table.assign(length=table["length"].mask(slope).astype("Int64"))
    table.insert(list(table.columns).index("length") + 1, "statistic", np.where(slope, SLOPE, VALUE))
    return table


def check(manifest: Manifest, file: str, table: pd.DataFrame) -> None:
    """Raises ValueError unless a table of a run has the columns, kinds and cells that its manifest promises."""
    for column, kind in columns(manifest, file).items():
        if column not in table:
            raise ValueError(f"no column {column!r}")
        if not _of_kind(table[column], kind):
            raise ValueError(f"column {column!r} holds another kind of values")
    if file == "texts.parquet" and not set(table["kind"]) <= {"query", "document"}:
        raise ValueError("kinds of texts that are unknown")
    if manifest.command in CONFIGS and file in ("summary.csv", "per_query.parquet"):
        _check_cells_of(manifest, file, table)
    if file == "tests.csv" and manifest.command in CONFIGS:
        _check_tests(manifest, table)


def _of_kind(values: pd.Series, kind: str) -> bool:
    import pandas as pd  # here: what only names runs need not wait for it

    missing = bool(values.isna().any())
    if not len(values):
        return True
    if kind == "text":
        return not missing and all(isinstance(one, str) for one in values.unique())
    if missing and not kind.endswith("?"):
        return False
    if kind.startswith("whole"):
        held = values.dropna()
        return pd.api.types.is_integer_dtype(values) and bool(held.between(0, MOST).all())
    return (
        pd.api.types.is_float_dtype(values) and not bool(np.isinf(values.to_numpy(float, na_value=np.nan)).any())
    ) or pd.api.types.is_integer_dtype(values)


def _check_cells_of(manifest: Manifest, file: str, table: pd.DataFrame) -> None:
    """Every cell that was asked for is there, once (by query, if the table is)."""
    config, command = manifest.config, manifest.command
    if command in ("synth", "compare"):
        return _check_free(manifest, table)
    if command == "gradients":
        if file == "summary.csv":
            _complete(table, {"pool": config["pool"], "length": config["lengths"]})
        return None
    inside, across = RANKED[command]
    measures = list(config["measures"])
    if command == "stress" and file == "per_query.parquet":
        measures.append("hijack_rate")
    own = table[table["arm"] != "candidates"] if command == "eval" else table
    wanted = {
        inside: config["arms" if command == "eval" else "inject"],
        "pool": config["pool"],
        across: config["lengths" if command == "eval" else "counts"],
        "measure": measures,
    }
    if file == "per_query.parquet":
        wanted["query_id"] = sorted(set(table["query_id"]))
    _complete(own, wanted)
    first = table[table["arm"] == "candidates"] if command == "eval" else table[:0]
    keys = ["measure", *(["query_id"] if file == "per_query.parquet" else [])]
    if len(first) and (
        first["length"].notna().any() or first.duplicated(keys).any() or not set(first["measure"]) <= set(measures)
    ):
        raise ValueError("a first stage that is none")
    return None


def _complete(table: pd.DataFrame, wanted: Mapping[str, Sequence[Any]]) -> None:
    import pandas as pd

    if not len(table):
        raise ValueError("no row")
    cells = pd.MultiIndex.from_frame(table[list(wanted)].astype(object))
    if cells.has_duplicates or set(cells) != set(itertools.product(*wanted.values())):
        raise ValueError("cells are missing, doubled or of another question")


def _check_free(manifest: Manifest, table: pd.DataFrame) -> None:
    """Of a study or a comparison: pools, measures and places that were asked for, none twice."""
    config, keys = manifest.config, list(SYNTH)
    if manifest.command == "synth":
        asked = all(set(table[key]) <= set(config[key]) for key in ("pool", "train_length", "support"))
        real_ = asked and _placed(table, config["lengths"])
    else:
        inside, across = RANKED[config["of"]]
        keys = ["run", inside, across, "pool", "measure"]
        real_ = set(table["measure"]) <= set(config["measures"])
    if not len(table) or not real_ or table.duplicated(keys).any():
        raise ValueError("cells are missing, doubled or of another question")


def _placed(table: pd.DataFrame, lengths: Sequence[int]) -> bool:
    """Whether every length is one that was asked about, and none where the statistic is a slope."""
    known = set(table["length"].dropna()) <= set(lengths)
    if "statistic" not in table:
        return known
    of_all = table["statistic"] == SLOPE
    return known and set(table["statistic"]) <= set(STATISTICS) and bool(table.loc[of_all, "length"].isna().all())


def _check_tests(manifest: Manifest, table: pd.DataFrame) -> None:
    """Counts add up, p is a probability, and every place is one that was asked about."""
    config, of = manifest.config, manifest.config.get("of", manifest.command)
    if not (table["wins"] + table["ties"] + table["losses"] == table["n"]).all():
        raise ValueError("wins, ties and losses do not add up")
    if not (table["p_holm"].isna() | table["p_holm"].between(0, 1)).all():
        raise ValueError("p that is no probability")
    if manifest.command == "compare" and not len(table):
        raise ValueError("no row")
    if of in ("eval", "gradients", "synth") and not _placed(table, config["lengths"]):
        raise ValueError("lengths of another question")
    if of == "stress" and not set(table["count"].astype(int)) <= set(config["counts"]):
        raise ValueError("counts of another question")
    keys = [*columns(manifest, "tests.csv")]
    if table.duplicated([key for key in keys if key not in PAIRED]).any():
        raise ValueError("a test twice")


def agree(manifest: Manifest, summary: pd.DataFrame, tests: pd.DataFrame) -> None:
    """Raises ValueError unless the tests' differences are those of the summary's means, as this version has them."""
    from harness.statistics import inference, tables

    if manifest.command not in RANKED or not len(tests):
        return
    inside, across = RANKED[manifest.command]
    value = summary.set_index(["measure", inside, "pool", across])["value"].to_dict()
    growing = tables.reached(manifest.cells)

    def of(row: dict[Any, Any], pool: str) -> float:
        key, place = (row["measure"], row[inside], pool), row[across]
        if row.get("statistic") == SLOPE:
            lengths = growing.get(row[inside], manifest.config["lengths"])
            values = np.array([[value[*key, length]] for length in lengths])
            return float(inference.slopes(values, np.array(lengths))[0])
        return float(value[*key, int(place)] - (value[*key, 0] if manifest.command == "stress" else 0))

    for row in tests.to_dict("records"):
        if abs(of(row, row["pool"]) - of(row, row["baseline"]) - row["mean_difference"]) > 1e-6:
            raise ValueError("differences that are not those of summary.csv")
