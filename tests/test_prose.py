"""Pages and help are plain English: no private idiom, no endless sentence, nothing of the machine they come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import cli, commands
from harness.options import options

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "validation" / "readmes" / "templates").rglob("*.j2")),
    *(ROOT / name / "README.md" for name in ("datasets", "runs", "reports", "reports/retrained", "benchmarks")),
]
LONGEST = 45  # words of a sentence

UNIT = "(?:row|line|file|folder|task|thread|core|run|vector|patch|query|document|token|cell|pair|pool|seed|second)"
MANY = (
    "(?:rows|lines|files|threads|vectors|patches|queries|documents|tokens|cells|ids?|bytes|candidates|operations|times)"
)
BANNED = {
    rf"\b(?:an?|one) \w+ an? {UNIT}\b": "one row per cell",
    rf"\b{MANY} an? {UNIT}\b(?=[.,;:)|]| and| at| in| on|\s*$)": "tokens per second",
    r"\btold\b|\btells (?:of|you)\b": "reported, says",
    r"\balone\b": "only, by itself",
    r"\banew\b": "again",
    r"\boperators?\b": "aggregator, pool",
    r"\bbut for\b": "except for",
    r"\bgo(?:es)? on\b|\bwent on\b": "continue",
    r"\bcut off\b": "interrupted",
    r"\bat hand\b": "available",
    r"\bbeginnings?\b(?! of)": "start, seed",
    r"\brooms?\b": "folder, package",
    r"\bhouse\b": "program",
    r"\bstretch(?:es)?\b": "time, part",
    r"\bthe very\b": "the same",
    r"\bof which\b.*\bthe which\b": "two sentences",
    r"\bnought\b|\bthereof\b|\bthereby\b|\bhence\b": "a common word",
    r", of an? \w+ \d": "3 for an encoder",
    r"\bsays? so by\b": "declares",
}
"""Idioms, and what a reader would say."""

FOREIGN = re.compile(
    r"(?<![\w.}>])/(?:work|tmp|home|root|mnt|opt|Users|workspace)\b"
    r"|pypi\.org|pythonhosted|\b(?:artifactory|nexus|devpi)\b|--(?:extra-)?index-url"
    r"|\bsessions?\b|\bagents?\b|\bissue #?\d"
)
"""Paths of a machine, hosts of package indexes, and words on how the project is made."""


def prose(text: str) -> str:
    """Without code, tables' markup, expressions of templates and targets of links."""
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "0", text, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->|`[^`]*`|\]\([^)]*\)", "0", text, flags=re.DOTALL)
    return re.sub(r"[ \t]*\n(?=[^\n|#*-])", " ", text)


def idioms(text: str) -> list[str]:
    found = (
        (match[0], better) for pattern, better in BANNED.items() for match in re.finditer(pattern, text, re.IGNORECASE)
    )
    return [f"{idiom!r}: say {better!r}" for idiom, better in found]


def helps() -> dict[str, str]:
    """Every sentence that ``--help`` prints, by where it stands."""
    said = {"harness": cli.app.help or ""}
    for name, summary in commands.SUMMARIES.items():
        module = commands.file(name)
        said |= {f"harness: {name}": summary, f"harness {name}": module.run.__doc__ or ""}
        said |= {
            f"harness {name} --{field}": f"{one.help} [{one.shown or ''}]"
            for field, one in options(module.CONFIG).items()
        }
    return said


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_is_plain_english(page):
    assert not idioms(prose(page.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_knows_nothing_of_the_machine_it_was_written_on(page):
    assert not FOREIGN.findall(page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_sentence_can_be_said_in_one_breath(page):
    for sentence in re.split(r"(?<=[.:;?!])\s|\n|\|", prose(page.read_text())):
        assert len(sentence.split()) <= LONGEST, sentence


def test_help_is_plain_english():
    wrong = {where: found for where, text in helps().items() if (found := idioms(text))}
    assert not wrong
    assert not {where: text for where, text in helps().items() if not re.search(r"[.?](?:\s|$)", text)}


@pytest.mark.parametrize(
    "text",
    [
        "It writes one row a cell.",
        "4,956 tokens a second.",
        "The fault is told.",
        "Only that file alone.",
        "It answers anew.",
        "The operator sums.",
        "20, of an encoder 3",
    ],
)
def test_an_idiom_is_seen(text):
    assert idioms(text)


@pytest.mark.parametrize("text", ["a/b is as a document that grows", "It has a query of three words.", "or a row"])
def test_plain_english_is_not_taken_for_one(text):
    assert not idioms(text)


@pytest.mark.parametrize("text", ["see /tmp/x", "from https://pypi.org/simple", "in an earlier session"])
def test_what_is_foreign_is_seen(text):
    assert FOREIGN.search(text)


def test_the_readme_is_short_and_names_the_study_at_its_first_mention():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 170 and len(prose(text).split()) <= 1_300
    name = "study *Spike Hijacking in Late-Interaction Retrieval*"
    assert " ".join(text.split()).index(name) == " ".join(text.split()).index("study")
