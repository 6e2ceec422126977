"""Hostile input is refused in a line; hostile ids and texts stay text; nothing reads a pickle."""

from __future__ import annotations

import ast
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import ir_measures
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness import corpora
from harness.commands.eval import EvalConfig
from harness.commands.synth import SynthConfig
from harness.commands.train import TrainConfig
from harness.corpora.origins.archive import unpack
from harness.errors import DataError, HarnessError, plain
from harness.files import plain_yaml
from harness.options import options as names
from harness.options import read_config, resolve
from harness.runs import RunDirectory

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{at}: &a{at} [*a{at - 1}, *a{at - 1}]\n" for at in range(1, 60))


@pytest.mark.parametrize(
    "text, says",
    [
        (BOMB, "alias"),
        ("[" * 100_000, "deep"),
        ("- " * 20_000, "deep"),
        ("{a: " * 20, "deep"),
        ("x" * 300_000, "larger"),
    ],
)
def test_yaml_that_stands_for_more_than_it_says_is_refused_at_once(tmp_path, text, says):
    (tmp_path / "x.yaml").write_text(text)
    begin = time.process_time()
    with pytest.raises(ValueError, match=says):
        plain_yaml(tmp_path / "x.yaml")
    assert time.process_time() - begin < 1


def test_an_archive_that_holds_more_than_the_disk_is_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("x", bytes(1 << 20))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match="1,048,576 bytes"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mistake_is_a_line_that_a_terminal_can_show():
    error = HarnessError("red \x1b[31m \u202e", "x" * 100_000)
    assert error.problems[0] == r"red \x1b[31m \u202e" and len(error.problems[1]) < 1_000
    assert plain("ä → ‖") == "ä → ‖"


def test_a_report_writes_nowhere_but_into_its_folder(finished, tmp_path):
    run = shutil.copytree(finished["eval"].path, tmp_path / "run")
    summary = (run / "summary.csv").read_text()
    (run / "summary.csv").write_text(summary.replace(",topk:4,", ",../../../../evil,"))
    with pytest.raises(HarnessError):
        harness.report(run, format="mteb", output=tmp_path / "a" / "b")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    "name, content",
    [
        ("manifest.json", b"[]"),
        ("manifest.json", b"\xff"),
        ("manifest.json", b'{"command": "eval"}'),
        ("summary.csv", b"a,b\n1\n2,3,4\n"),
        ("per_query.parquet", b"PAR1"),
        ("texts.parquet", b""),
    ],
)
@pytest.mark.parametrize("act", ["report", "compare"])
def test_a_damaged_run_is_one_line_that_names_it(finished, tmp_path, name, content, act):
    run = shutil.copytree(finished["eval"].path, tmp_path / "run")
    (run / name).write_bytes(content)
    if act == "compare" and name == "texts.parquet":
        return
    with pytest.raises(HarnessError) as caught:
        if act == "report":
            harness.report(run, format="html", output=tmp_path / "out")
        else:
            harness.compare(run, finished["eval"].path, output=tmp_path / "out")
    assert len(caught.value.problems) == 1 and str(run) in str(caught.value)


@pytest.mark.parametrize("act", ["report", "compare"])
def test_a_value_that_is_no_number_is_one_line_that_names_the_run(finished, tmp_path, act):
    run = shutil.copytree(finished["eval"].path, tmp_path / "run")
    header, first, *rest = (run / "summary.csv").read_text().splitlines()
    cells = dict(zip(header.split(","), first.split(","), strict=True)) | {"value": "0retained"}
    (run / "summary.csv").write_text("\n".join([header, ",".join(cells.values()), *rest]) + "\n")
    with pytest.raises(HarnessError, match=f"{run} cannot be read|{run}/summary.csv cannot be read"):
        harness.report(run) if act == "report" else harness.compare(run, finished["eval"].path, output=tmp_path / "o")


NATIVE = """
import hashlib, sys
from harness import interrupts
sys.argv = ["harness", "eval", "--pool", "maxsim"]
print("ready", flush=True)
with interrupts.heard("what is done is kept; go on with: harness eval --pool maxsim"):
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


def test_ctrl_c_is_heard_inside_one_long_native_call():
    command = [sys.executable, "-c", NATIVE]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - begin < 2 and process.returncode == 130
    assert said == "harness: interrupted; what is done is kept; go on with: harness eval --pool maxsim\n"


IDS = [
    "<script>alert(1)</script>",
    "</script>",
    "../../../etc/passwd",
    "a/b\\c",
    "\0nul",
    "\x1b[31mred",
    "\u202eevil",
    "x" * 100_000,
    "é" * 300,
    "'\"&;|`$(touch)",
    "-rf",
    "\ufeffbom",
    "#c",
    "%s%n",
    "{{7*7}}",
    "=1+1",
    "\x7f\x01",
    "   ",
    "a b",
    "a\tb",
    "a\rb",
    "a\x1cb",
    "a\x85b",
    "a\u2028b",
    "a\xa0b",
    "%20",
]
TEXTS = [
    "<script>alert(1)</script> moon and sea",
    "../x \0 \x1b[31m",
    "\u202e from right to left",
    "y" * 100_000,
    "a\tb\nc\u2028d",
    "</textarea><img src=x onerror=alert(1)>",
]


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.scripts, self.found, self.handlers = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.add(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        if tag == "script":
            self.scripts.append(dict(attributes).get("type"))


def written(folder: Path, ids, judged=None) -> Path:
    (folder / "qrels").mkdir(parents=True)
    texts = [f"{TEXTS[at % len(TEXTS)]} word{at}" for at in range(len(ids))]
    for name, mark in (("corpus", ""), ("queries", "q")):
        rows = [{"_id": mark * bool(one) + one, "text": text} for one, text in zip(ids, texts, strict=True)]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    rows = [{"query-id": f"q{one}", "corpus-id": one, "score": 1} for one in judged or ids]
    (folder / "qrels" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_hostile_ids_and_texts_break_no_file_name_no_trec_run_and_no_page(tmp_path):
    question = {
        "dataset": str(written(tmp_path / "data", IDS)),
        "output": tmp_path / "runs",
        "depth": 8,
        "pool": "maxsim,mean",
        "measures": "nDCG@8",
    }
    first = harness.evaluate(**question, lengths="4,8")
    other = harness.evaluate(**question, lengths="4,8", seed=1)
    stress = harness.stress(**question, counts="0,3", inject="hard", explain=f"q{IDS[0]}")
    both = harness.compare(first.path, other.path, output=tmp_path / "runs")
    rankings = sorted(first.path.rglob("*.trec.gz"))
    for path in rankings:
        theirs = [
            one._replace(query_id=unquote(one.query_id), doc_id=unquote(one.doc_id))
            for one in ir_measures.read_trec_run(str(path))
        ]
        assert {one.query_id for one in theirs} == {f"q{one}" for one in IDS}
        assert {one.doc_id for one in theirs} <= set(IDS)
        ours = list(RunDirectory(first.path).read_ranking(path))
        assert [one[:2] for one in ours] == [one[:2] for one in theirs]
    formats, runs = "html,md,csv,latex,svg", (first.path, stress.path, both.path)
    report = harness.report(*runs, format=formats, output=tmp_path / "report")
    assert len(rankings) == 9 and len(report.files) > 8
    held = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(len(path.name.encode()) < 256 and path.name.isprintable() for path in held)
    assert all(re.fullmatch(r"[\w.+@:-]+", path.name) for path in held)
    page = Tags((tmp_path / "report" / "index.html").read_text())
    assert page.scripts.count(None) == 2 and set(page.scripts) == {None, "text/plain"} and not page.handlers
    assert "img" not in page.found
    drawn = b"".join(path.read_bytes() for path in (tmp_path / "report").glob("*.svg"))
    assert drawn and b"<script" not in drawn


def test_an_empty_id_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"corpus\.jsonl:1: a document's id must be text or a whole number, not ''"):
        corpora.load(str(written(tmp_path / "data", ["", "ok"], ["ok"])))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
OPTIONS = st.dictionaries(st.sampled_from(list(names(EvalConfig))) | st.text(max_size=6), PLAIN, max_size=4)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([EvalConfig, SynthConfig, TrainConfig]), OPTIONS)
def test_any_config_file_is_a_question_that_comes_back_or_is_refused(kind, options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(options))
        try:
            asked = resolve(kind, **read_config(kind, path))
        except HarnessError as error:
            assert all(line.isprintable() for line in error.problems)
            return
        path.write_text(yaml.safe_dump(asked.plain()))
        assert resolve(kind, **read_config(kind, path)) == asked


FORBIDDEN = {
    "pickle",
    "cPickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
    "eval",
    "exec",
    "read_pickle",
    "unsafe_load",
    "full_load",
    "UnsafeLoader",
    "FullLoader",
    "Loader",
}


def test_no_code_of_the_product_can_read_a_pickle():
    for path in Path(harness.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            used = {alias.name for alias in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else set()
            used |= {node.id} if isinstance(node, ast.Name) else set()
            assert not used & FORBIDDEN, f"{path}:{node.lineno} uses {used & FORBIDDEN}"
            if isinstance(node, ast.Attribute):
                whole = ast.unparse(node)
                converts = whole == "torch.load" and path.name == "converting.py"  # with --convert, in its own process
                assert whole not in ("torch.load", "yaml.Loader") or converts, path
                assert node.attr not in FORBIDDEN - {"eval"}, whole
            if isinstance(node, ast.keyword) and node.arg == "weights_only":
                assert ast.unparse(node.value) == "True", path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", path
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert ast.unparse(node.value) in ("False", "trust", "trust_remote_code"), path
