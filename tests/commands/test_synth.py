"""The synthetic study: galleries, training, its tables and their statistics, and ``harness synth`` end to end."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from harness import evaluate, synth
from harness.aggregators import AGGREGATORS
from harness.cli import app
from harness.commands.synth import SynthConfig
from harness.encoders import concepts
from harness.engines import ENGINES
from harness.engines.local import Local
from harness.errors import DataError, OptionError
from harness.files import digest
from harness.options import resolve
from harness.statistics.concentration import gini, patch_gradients
from harness.training.loop import info_nce
from harness.worlds import analysis
from harness.worlds.measuring import encoded, ginis, recall
from harness.worlds.plan import Trial
from harness.worlds.training import Encoder, batch_of, fit
from harness.worlds.vectors import split

TINY = {
    "queries": 32,
    "gallery": 8,
    "batch": 16,
    "epochs": 2,
    "every": 1,
    "seeds": 2,
    "lengths": [8, 12, 16],
    "train_length": [12],
    "support": [4],
    "counts": [0, 3, 9],
    "concepts": 20,
    "dim": 8,
    "tokens": 6,
    "shared": 2,
    "mixed": 2,
    "width": 8,
}
POOLS = "maxsim,topk:2,softmax:1.0"
FILES = ["training.csv", "lengths.csv", "injection.csv", "summary.csv", "tests.csv", "figure1.svg", "figure1.html"]
FILES += ["tradeoff.svg", "figure1.png", "encoders/maxsim-M12-K4/seed1/network.safetensors"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return synth(pool=POOLS, output=tmp_path_factory.mktemp("runs"), **TINY)


def plan(**given) -> SynthConfig:
    return resolve(SynthConfig, **{"pool": POOLS, **TINY, **given})


def training_set(config: SynthConfig, seed: int = 0):
    return split(config.world(seed, config.support[0]), "train")


def test_the_tables_have_the_columns_and_rows_that_were_asked(done):
    assert list(done.training.columns[:8]) == [
        "pool",
        "seed",
        "epoch",
        "loss",
        "gini",
        "gini_standard",
        "recall_train",
        "recall_heldout",
    ]
    assert list(done.lengths.columns[:5]) == ["pool", "seed", "split", "length", "recall"]
    assert list(done.injection.columns[:7]) == [
        "pool",
        "seed",
        "inject",
        "count",
        "recall",
        "retained",
        "hijack_rate",
    ]
    assert len(done.training) == 3 * 2 * 3 and len(done.lengths) == 3 * 2 * 2 * 3 and len(done.injection) == 54
    assert done.training["loss"].isna().sum() == 6  # nothing is trained at epoch 0
    np.testing.assert_allclose(done.training["gini_standard"] - done.training["gini"], 1 / 12)
    assert (done.injection[done.injection["count"] == 0][["retained"]] == 1).all(axis=None)
    assert (done.injection[done.injection["count"] == 0]["hijack_rate"] == 0).all()


def test_figures_agree_wherever_a_number_is_measured_twice(done):
    last = done.training[done.training["epoch"] == 2].set_index(["pool", "seed"])
    at = done.lengths[done.lengths["length"] == 12].set_index(["pool", "seed", "split"])["recall"]
    clean = done.injection[done.injection["count"] == 0].groupby(["pool", "seed"])["recall"].agg(["min", "max"])
    for (pool, seed), row in last.iterrows():
        assert row["recall_train"] == at[pool, seed, "train"] and row["recall_heldout"] == at[pool, seed, "heldout"]
        assert clean.loc[(pool, seed)].tolist() == [row["recall_heldout"]] * 2


def test_the_summary_is_the_mean_over_seeds_with_students_interval(done):
    one = done.summary[(done.summary["pool"] == "topk:2") & (done.summary["measure"] == "gini")]
    one = one[one["epoch"] == 2].iloc[0]
    values = done.training[(done.training["pool"] == "topk:2") & (done.training["epoch"] == 2)]["gini"].to_numpy()
    half = 12.706204736 * values.std(ddof=1) / math.sqrt(2)
    assert one["value"] == pytest.approx(values.mean()) and one["n_seeds"] == 2
    assert one["ci_high"] - one["value"] == pytest.approx(half, rel=1e-6)


def test_tests_are_paired_by_seed_and_slopes_are_per_doubling(done):
    wide = done.lengths[done.lengths["split"] == "heldout"].pivot(
        index=["pool", "seed"], columns="length", values="recall"
    )
    slope = {key: np.polyfit(np.log2([8, 12, 16]), row.to_numpy(), 1)[0] for key, row in wide.iterrows()}
    expected = np.mean([slope["topk:2", seed] - slope["maxsim", seed] for seed in (0, 1)])
    found = done.tests[(done.tests["statistic"] == "slope") & (done.tests["pool"] == "topk:2")].set_index("split")
    assert found.loc["heldout", "mean_difference"] == pytest.approx(expected)
    assert set(done.tests["baseline"]) == {"maxsim"} and set(done.tests["measure"]) == {
        "gini",
        "recall",
        "retained",
        "hijack_rate",
    }
    for _, family in done.tests.groupby(["measure", "split"]):
        assert (family["p_holm"].dropna() >= family["p"][family["p_holm"].notna()]).all()


def loss_of(aggregator, network, train, queries, config):
    """Of one batch, documents cut to 12 patches."""
    return info_nce(Encoder(network, train, 12), aggregator, batch_of(queries, config), config.temperature).item()


def test_training_lowers_the_loss_and_raises_recall_of_the_training_set():
    config = plan(epochs=30, every=30, rate=0.01)
    train, losses, figures = training_set(config), [], []

    def after(epoch, loss, trained):
        losses.append(loss)
        if epoch in (0, 30):
            with torch.no_grad():
                figures.append(loss_of(aggregator, trained, train, np.arange(16), config))

    aggregator = AGGREGATORS.make("maxsim")
    fit(aggregator, train, Trial("maxsim", 0, 12, 4), config, after)
    assert len(losses) == 31 and losses[0] is None and losses[30] < 0.8 * losses[1]
    assert figures[1] < 0.8 * figures[0]


def test_the_loss_is_in_batch_info_nce():
    config = plan(negatives=1, temperature=2.0)
    train, aggregator = training_set(config), AGGREGATORS.make("topk:2")
    net = concepts.network(8, 8, np.random.default_rng(1))
    batch = torch.tensor([3, 5, 9])
    queries, documents, negatives = (
        concepts.apply(net, part[batch]) for part in (train.queries, train.documents, train.negatives)
    )
    candidates = [*documents[:, :12], *negatives[:, :12]]
    expected = 0.0
    for number, query in enumerate(queries):
        scores = torch.stack([aggregator(query @ one.T).sum() / 2.0 for one in candidates])
        expected -= scores.log_softmax(0)[number].item() / 3
    assert loss_of(aggregator, net, train, batch.numpy(), config) == pytest.approx(expected, rel=1e-5)


def test_a_training_that_diverges_says_so():
    config = plan(epochs=3, rate=1e3, temperature=1e-6)
    train = training_set(config)
    train.documents[0, 0] = float("nan")
    with pytest.raises(DataError, match="lower --rate"):
        fit(AGGREGATORS.make("maxsim"), train, Trial("maxsim", 0, 12, 4), config, lambda *_: None)


def test_pools_of_a_seed_begin_alike():
    config, nets = plan(epochs=1), []

    def after(epoch, loss, net):
        if epoch == 0:
            nets.append([weights.clone() for weights in net.parameters()])

    for pool in ("maxsim", "mean"):
        fit(AGGREGATORS.make(pool), training_set(config), Trial(pool, 0, 12, 4), config, after)
    assert all(torch.equal(a, b) for a, b in zip(*nets, strict=True))


@pytest.mark.parametrize("negatives", [0, 1])
def test_a_query_is_ranked_in_its_gallery_against_its_own_document(negatives):
    config = plan(negatives=negatives)
    made = encoded(concepts.network(8, 8, np.random.default_rng(0)), training_set(config), 12, config)
    for query, row in enumerate(made.gallery.rows):
        first = query // 8 * 8
        expected = {*range(first, first + 8), *(range(32 + first, 40 + first) if negatives else ())}
        assert row[0] == query and set(row) == expected and len(row) == len(expected)
    values = np.zeros((32, made.gallery.rows.shape[1]), np.float32)
    values[:24, 0] = 1.0
    values[24:, 1] = 1.0
    assert recall(made.gallery, values) == 0.75


def test_ginis_are_the_mean_over_pairs():
    config = plan(negatives=1)
    made = encoded(concepts.network(8, 8, np.random.default_rng(0)), training_set(config), 12, config)
    for spec in ("maxsim", "topk:2", "softmax:1.0", "logsumexp:0.1"):
        aggregator, each = AGGREGATORS.make(spec), []
        for query in range(32):
            pair = (torch.from_numpy(part.of(query).astype(np.float64)) for part in (made.queries, made.documents))
            each.append(gini(patch_gradients(aggregator, *pair).numpy()))
        assert ginis(aggregator, made) == pytest.approx((np.mean(each), np.mean(each) + 1 / 12))


def test_the_same_seed_gives_the_same_bytes_whatever_the_threads(done, tmp_path):
    ENGINES.register("one-thread")(lambda: Local(1))
    try:
        again = synth(pool=POOLS, output=tmp_path, engine="one-thread", **TINY)
    finally:
        ENGINES.forget("one-thread")
    assert again.path.name == done.path.name
    for name in FILES:
        assert (again.path / name).read_bytes() == (done.path / name).read_bytes(), name


def test_a_study_cut_off_goes_on_from_its_finished_trials(done, tmp_path):
    path = tmp_path / done.path.name
    first = synth(pool=POOLS, output=tmp_path, **TINY)
    assert first.path == path
    (path / "manifest.json").unlink()
    kept = path / "encoders" / "maxsim-M12-K4" / "seed0" / "measured.json"
    changed = json.loads(kept.read_text())
    changed["training"][0]["gini"] = 0.125
    del changed["digest"]
    kept.write_text(json.dumps({"digest": digest(changed), **changed}))
    (path / ".started").write_text(_mark(path))
    again = synth(pool=POOLS, output=tmp_path, **TINY)
    assert again.training["gini"].iloc[0] == 0.125  # read, not made again
    redone = synth(pool=POOLS, output=tmp_path, **TINY, force=True)
    assert redone.training["gini"].iloc[0] == done.training["gini"].iloc[0]  # finished, and made again by force


def _mark(path) -> str:
    """What an unfinished run of this program carries."""
    from harness.commands.provenance import maker

    return maker()


def test_a_trained_encoder_is_a_checkpoint_of_eval(done, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_DATASETS", str(tmp_path))
    world = {key: TINY[key] for key in ("concepts", "dim", "tokens", "queries", "shared", "mixed")}
    world |= {"support": 4, "patches": 16}
    (tmp_path / "mine.yaml").write_text(f"source: synthetic\ncheckpoint: concepts\nworld: {json.dumps(world)}\n")
    folder = done.path / "encoders" / "maxsim-M12-K4" / "seed0"
    run = evaluate(
        dataset="mine",
        checkpoint=str(folder),
        pool="maxsim",
        lengths=[12, 16],
        candidates="exact",
        measures="R@1",
        output=tmp_path / "runs",
    )
    assert run.summary["value"].between(0, 1).all() and run.manifest.fingerprints["documents"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"batch": 5}, "batch 5"),
        ({"gallery": 1}, "gallery 1"),
        ({"support": "9"}, "at most tokens"),
        ({"every": 3}, "every 3"),
        ({"rate": "fast"}, "rate"),
        ({"negatives": 2}, "negatives"),
        ({"pool": "maxsin"}, "maxsim"),
        ({"lengths": "2", "train_length": "2"}, "cannot hold"),
        ({"dataset": "scifact"}, "dataset"),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(given, says):
    with pytest.raises(OptionError, match=says):
        plan(**given)


def test_grids_are_told_apart(tmp_path):
    run = synth(pool="maxsim", output=tmp_path, **TINY | {"seeds": 2, "train_length": [8, 12], "support": [2, 4]})
    assert len(run.summary.groupby(["train_length", "support"])) == 4
    svg = (run.path / "tradeoff.svg").read_text()
    assert all(f"maxsim, M = {m}, K = {k}" in svg for m in (8, 12) for k in (2, 4))


def test_the_command_prints_the_studys_figures_and_its_claims(tmp_path):
    line = ["synth", "--pool", "maxsim,topk:4", "--output", str(tmp_path)]
    for name, value in TINY.items():
        line += [f"--{name.replace('_', '-')}", ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    shown = CliRunner().invoke(app, line, env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.output
    for part in ("0.33–0.38", "the study", "M = 16", "K = 9", "topk:4 against maxsim", "figure1.html"):
        assert part in shown.stdout
    assert "…" not in shown.stdout
    assert all(len(line) <= 80 for line in shown.stdout.splitlines() if not line.startswith("Files:"))
    again = CliRunner().invoke(app, [*line, "--resume"], env={"COLUMNS": "80"})
    assert again.stdout == shown.stdout


def test_the_smallest_study_is_shown(tmp_path):
    line = [
        "synth",
        "--pool",
        "mean",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--every",
        "1",
        "--queries",
        "32",
        "--gallery",
        "8",
        "--batch",
        "16",
        "--lengths",
        "9",
        "--train-length",
        "12",
        "--counts",
        "0",
        "--inject",
        "hard",
        "--output",
        str(tmp_path),
    ]
    shown = CliRunner().invoke(app, line, env={"COLUMNS": "80"})
    assert shown.exit_code == 0 and "M = 9" in shown.stdout, shown.output


def test_one_seed_has_no_interval_and_no_test(tmp_path):
    run = synth(pool="maxsim,mean", output=tmp_path, **TINY | {"seeds": 1})
    assert run.summary["ci_low"].isna().any() and run.tests["p_holm"].isna().any()


def test_a_lower_hijack_rate_is_a_win():
    rows = [
        {
            "pool": pool,
            "seed": seed,
            "value": value,
            "measure": measure,
            "split": "heldout",
            "epoch": "",
            "length": "",
            "statistic": "value",
            "inject": "hard",
            "count": "3",
            "train_length": 8,
            "support": 4,
        }
        for measure in ("retained", "hijack_rate")
        for pool, values in (("maxsim", [0.5, 0.4, 0.3]), ("mean", [0.1, 0.3, 0.1]))
        for seed, value in enumerate(values)
    ]
    rows.append({**rows[0], "measure": "gini", "epoch": "5", "inject": "", "count": ""})
    found = analysis.compare(pd.DataFrame(rows), ["maxsim", "mean"]).set_index("measure")
    assert found.loc["hijack_rate", ["wins", "losses"]].tolist() == [3, 0] and found.loc["retained", "losses"] == 3
    assert found.loc["hijack_rate", "mean_difference"] == -found.loc["retained", "mean_difference"] > 0


def test_measured_lists_every_value_once():
    lengths = pd.DataFrame(
        {
            "pool": "maxsim",
            "seed": [0, 0],
            "split": "train",
            "length": [8, 16],
            "recall": [0.5, 0.25],
            "train_length": 8,
            "support": 4,
        }
    )
    training = pd.DataFrame(
        {
            "pool": ["maxsim"],
            "seed": 0,
            "epoch": 5,
            "loss": 1.0,
            "gini": 0.5,
            "gini_standard": 0.6,
            "recall_train": 0.5,
            "recall_heldout": 0.4,
            "train_length": 8,
            "support": 4,
        }
    )
    injection = pd.DataFrame(
        {
            "pool": ["maxsim"],
            "seed": 0,
            "inject": "hard",
            "count": 3,
            "recall": 0.1,
            "retained": 0.25,
            "hijack_rate": 0.3,
            "train_length": 8,
            "support": 4,
        }
    )
    table = analysis.measured(training, lengths, injection)
    assert len(table) == 5 + 2 + 1 + 3 and not table.duplicated(["measure", *analysis.PLACE[1:]]).any()
    slope = table[table["statistic"] == "slope"]["value"]
    assert slope.tolist() == [pytest.approx(-0.25)]


def test_a_seed_without_a_value_is_left_out_of_its_pair():
    rows = [
        {
            "pool": pool,
            "seed": seed,
            "value": value,
            "measure": "retained",
            "split": "heldout",
            "epoch": "",
            "length": "",
            "statistic": "value",
            "inject": "hard",
            "count": "3",
            "train_length": 8,
            "support": 4,
        }
        for pool, values in (("maxsim", [0.5, 0.4, 0.3, 0.2]), ("mean", [0.1, 0.3, 0.1]))
        for seed, value in enumerate(values)
    ]
    rows.append({**rows[0], "measure": "gini", "epoch": "5", "inject": "", "count": ""})
    tests = analysis.compare(pd.DataFrame(rows), ["maxsim", "mean"])
    row = tests[tests["measure"] == "retained"].iloc[0]
    assert row["n"] == 3 and row["mean_difference"] == pytest.approx(-7 / 30) and row["losses"] == 3
