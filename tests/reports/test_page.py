"""The page in a real browser: no error, controls that act, hovers that tell the truth, text that stays text."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

import harness
from harness.records import Manifest
from harness.runs import RunDirectory
from harness.statistics.tables import TESTS
from tests.conftest import HOSTILE
from tests.reports.test_reports import COMMANDS


@pytest.fixture(scope="module")
def page(finished, chromium, tmp_path_factory):
    """A report over a run of every command, open in a browser."""
    folder = tmp_path_factory.mktemp("page")
    harness.report(*(finished[name].path for name in COMMANDS), format="html", output=folder)
    visit(chromium, (folder / "index.html").as_uri())
    return chromium


def visit(browser, url: str) -> None:
    browser.set_window_size(1280, 900)
    browser.get(url)
    WebDriverWait(browser, 30).until(lambda one: one.execute_script("return document.documentElement.dataset.ready"))


def part(page, finished, name: str):
    """The section of a command's run."""
    return page.find_element(By.ID, finished[name].path.name)


def choose(page, section, name: str, value: str) -> None:
    """Choose an option, if it is not chosen, and wait until the chart is drawn."""
    select = Select(section.find_element(By.CSS_SELECTOR, f".controls select[name={name}]"))
    if select.first_selected_option.text == value:
        return
    drawn = section.get_attribute("data-drawn")
    select.select_by_visible_text(value)
    WebDriverWait(page, 10).until(lambda _: section.get_attribute("data-drawn") != drawn)


def shown(section):
    """The visible table."""
    [table] = [one for one in section.find_elements(By.CSS_SELECTOR, ".table table") if one.is_displayed()]
    return table


def hover(page, section, series: str, column: str) -> dict[str, str]:
    """What the tooltip of a point says; the point is found by what Vega keeps of it."""
    at = page.execute_script(
        """
        const [section, series, column] = arguments;
        const marks = [...section.querySelectorAll(".chart.main svg path, .chart.main svg rect")];
        const of = (one) => one.__data__?.datum ?? {};
        const index = marks.findLastIndex((one) => of(one).series === series && of(one).at === column);
        marks[index].setAttribute("data-hovered", "yes");
        return index;""",
        section,
        series,
        column,
    )
    assert at >= 0
    mark = section.find_element(By.CSS_SELECTOR, "[data-hovered]")
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", mark)
    ActionChains(page).move_to_element(mark).perform()
    WebDriverWait(page, 5).until(lambda one: one.find_elements(By.CSS_SELECTOR, "#tip.visible"))
    rows = page.find_elements(By.CSS_SELECTOR, "#tip tr")
    page.execute_script("arguments[0].removeAttribute('data-hovered')", mark)
    pairs = [[row.find_element(By.CLASS_NAME, name).text for name in ("key", "value")] for row in rows]
    found = {key.strip(": "): value for key, value in pairs}
    assert (found["pool"], found["at"]) == (series, column)
    return found


def test_the_page_opens_without_an_error_and_asks_nobody(page):
    assert page.get_log("browser") == []
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
    text = page.page_source
    assert not re.search(r"<(?:link|img|iframe|object|base)\b", text.split("<body", 1)[0])
    assert "default-src 'none'" in text and "unsafe" not in text.split("<style", 1)[0]
    assert len(page.find_elements(By.CSS_SELECTOR, ".chart.main svg")) == 5


def test_markup_of_the_corpus_is_text(page, finished):
    section = part(page, finished, "stress")
    choose(page, section, "inject", "hard")
    section.find_element(By.CSS_SELECTOR, ".find").send_keys("q-<b>moon")
    [button] = section.find_elements(By.CSS_SELECTOR, ".open")
    button.click()
    details = section.find_element(By.CSS_SELECTOR, ".details")
    assert HOSTILE[1] in button.text and HOSTILE[0] in details.text and "q-<b>moon" in details.text
    assert page.execute_script("return window.hacked") is None
    assert not page.find_elements(By.CSS_SELECTOR, "img, .details script, .details b")
    assert page.get_log("browser") == []
    button.click()
    assert not section.find_elements(By.CSS_SELECTOR, ".details")


def test_the_controls_change_the_chart_and_the_table(page, finished):
    section = part(page, finished, "eval")
    before = section.find_element(By.CSS_SELECTOR, ".chart.main svg").get_attribute("innerHTML")
    choose(page, section, "arm", "pad")
    choose(page, section, "measure", "R@1")
    table = shown(section)
    assert table.find_element(By.TAG_NAME, "caption").text == "R@1, arm pad"
    rows = finished["eval"].summary.query("arm == 'pad' and measure == 'R@1'").set_index(["pool", "length"])["value"]
    for pool in ("maxsim", "topk:4", "softmax:1.0"):
        row = table.find_element(By.CSS_SELECTOR, f"tr[data-series='{pool}']")
        values = [cell.text.split()[0] for cell in row.find_elements(By.TAG_NAME, "td")[:3]]
        assert values == [f"{rows[pool, length]:.4f}" for length in (8, 16, 32)]
    chart = section.find_element(By.CSS_SELECTOR, ".chart.main")
    after = chart.find_element(By.TAG_NAME, "svg").get_attribute("innerHTML")
    assert "R@1, arm pad" in chart.get_attribute("aria-label")
    assert after != before
    assert chart.get_attribute("aria-describedby") == table.get_attribute("id")
    assert "R@1, pad" in section.find_element(By.CSS_SELECTOR, ".selection").text


def test_a_pool_can_be_left_out(page, finished):
    section = part(page, finished, "eval")
    box = section.find_element(By.CSS_SELECTOR, ".controls input[value='topk:4']")
    count = """return [...arguments[0].querySelectorAll(".chart.main svg path")]
        .filter((one) => one.__data__?.datum?.series === "topk:4").length"""
    assert page.execute_script(count, section) > 0
    drawn = section.get_attribute("data-drawn")
    box.click()
    WebDriverWait(page, 10).until(lambda _: section.get_attribute("data-drawn") != drawn)
    assert page.execute_script(count, section) == 0
    assert not shown(section).find_element(By.CSS_SELECTOR, "tr[data-series='topk:4']").is_displayed()
    drawn = section.get_attribute("data-drawn")
    box.click()
    WebDriverWait(page, 10).until(lambda _: section.get_attribute("data-drawn") != drawn)
    assert page.execute_script(count, section) > 0


def test_a_hover_tells_what_the_summary_holds(page, finished):
    section = part(page, finished, "eval")
    choose(page, section, "measure", "nDCG@10")
    for arm in ("truncate", "pad"):
        choose(page, section, "arm", arm)
        rows = finished["eval"].summary.query("arm == @arm and measure == 'nDCG@10' and pool == 'topk:4'")
        row = rows.set_index("length").loc[16]
        told = hover(page, section, "topk:4", "L = 16")
        assert float(told["value"]) == round(row["value"], 6) and int(told["n"]) == row["n_queries"]
        assert float(told["95 % low of value"]) == round(row["ci_low"], 6)
        assert float(told["95 % high of value"]) == round(row["ci_high"], 6)


def test_a_hover_over_an_attack_and_over_a_bar(page, finished):
    section = part(page, finished, "stress")
    choose(page, section, "measure", "R@1")
    row = finished["stress"].summary.query("inject == 'hard' and measure == 'R@1' and pool == 'maxsim' and count == 40")
    told = hover(page, section, "maxsim", "K = 40")
    assert float(told["value"]) == round(row["value"].item(), 6)
    assert float(told["retained"]) == round(row["retained"].item(), 6)
    section = part(page, finished, "gradients")
    gini = finished["gradients"].summary.query("pool == 'topk:4' and length == 32")["gini"].item()
    assert float(hover(page, section, "topk:4", "L = 32")["value"]) == round(gini, 6)


def test_queries_are_sorted_by_loss_and_open_to_ranks_and_tokens(page, finished):
    section = part(page, finished, "stress")
    section.find_element(By.CSS_SELECTOR, ".find").clear()
    section.find_element(By.CSS_SELECTOR, ".find").send_keys(" ")  # clear() alone sends no event
    values = finished["stress"].per_query.query("inject == 'hard' and pool == 'maxsim' and measure == 'R@1'")
    wide = values.pivot(index="query_id", columns="count", values="value")
    losses = (wide[0] - wide[40]).sort_values(ascending=False)
    lines = section.find_elements(By.CSS_SELECTOR, ".list tbody tr")
    assert [float(line.find_elements(By.TAG_NAME, "td")[2].text) for line in lines] == list(losses[:20])
    aligned = pd.read_parquet(finished["stress"].path / "alignment.parquet")
    lines[0].find_element(By.CSS_SELECTOR, ".open").click()
    details = section.find_element(By.CSS_SELECTOR, ".details")
    query = details.find_element(By.TAG_NAME, "h4").text.removeprefix("Query ")
    path = finished["stress"].path / "rankings" / "hard" / "maxsim" / "K40.trec.gz"
    ranking = [one.doc_id for one in RunDirectory(finished["stress"].path).read_ranking(path) if one.query_id == query]
    texts = pd.read_parquet(finished["stress"].path / "texts.parquet").query(
        "kind == 'document' and query_id == @query"
    )
    rank = ranking.index(texts["id"].iloc[0]) + 1
    row = details.find_element(By.CSS_SELECTOR, ".ranks tbody tr")
    assert row.text.split()[0] == "maxsim" and int(row.text.split()[-1]) == rank
    mine = aligned.query("query_id == @query and inject == 'hard'")
    tokens = details.find_elements(By.CSS_SELECTOR, ".tokens tbody tr")
    assert len(tokens) == len(mine)
    assert len(details.find_elements(By.CSS_SELECTOR, ".injected")) == (mine["after_source"] == "injected").sum()
    WebDriverWait(page, 5).until(lambda _: details.find_elements(By.CSS_SELECTOR, ".chart svg"))
    section.find_element(By.CSS_SELECTOR, ".list th:nth-child(4) button").click()
    first = section.find_element(By.CSS_SELECTOR, ".list tbody tr td:nth-child(4)").text
    assert float(first) == losses.min()
    assert section.find_element(By.CSS_SELECTOR, ".list th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_keyboard_and_screen_readers_reach_everything(page):
    unnamed = page.execute_script("""
        const named = (one) => one.labels?.length || one.textContent.trim() || one.getAttribute("aria-label");
        return [...document.querySelectorAll("button, select, input")].filter((one) => !named(one)).length;""")
    assert unnamed == 0
    assert page.execute_script("return [...document.querySelectorAll('thead th, tbody th')].every((one) => one.scope)")
    assert page.execute_script("return [...document.querySelectorAll('.table table')].every((one) => one.caption)")
    charts = page.find_elements(By.CSS_SELECTOR, ".chart[role=img]")
    assert charts and all(one.get_attribute("aria-label") for one in charts)
    assert page.find_elements(By.CSS_SELECTOR, "[aria-live=polite]") and page.find_element(
        By.CSS_SELECTOR, "html[lang=en]"
    )
    levels = page.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
    visit(page, page.current_url)
    ActionChains(page).send_keys("\ue004").perform()  # Tab
    first = page.switch_to.active_element
    assert first.get_attribute("class") == "skip" and first.is_displayed()
    outline = "const box = document.querySelector('.controls input'); box.focus(); return box.matches(':focus-visible')"
    assert page.execute_script(outline)
    [handled] = {page.execute_script("return document.querySelectorAll('[onclick], [onerror], [style*=url]').length")}
    assert handled == 0


def test_a_phone_scrolls_tables_and_not_the_page(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    wide = page.execute_script("return document.documentElement.scrollWidth")
    boxes = page.execute_script(
        "return [...document.querySelectorAll('.table .scroll')].map((one) => one.scrollWidth - one.clientWidth)"
    )
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide == 390 and max(boxes) > 0


def test_print_shows_every_table_and_no_control(page):
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    tables = [one.is_displayed() for one in page.find_elements(By.CSS_SELECTOR, ".table table")]
    controls = [one.is_displayed() for one in page.find_elements(By.CSS_SELECTOR, ".controls, .queries")]
    pdf = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {})["data"])
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert all(tables) and not any(controls) and pdf.startswith(b"%PDF") and len(pdf) > 50_000


def test_an_older_run_is_reported_with_what_it_lacks(finished, chromium, tmp_path):
    run = tmp_path / "old"
    shutil.copytree(finished["stress"].path, run)
    for name in ("texts.parquet", "alignment.parquet"):
        (run / name).unlink()
    harness.report(run, format="html", output=tmp_path / "out")
    visit(chromium, (tmp_path / "out" / "index.html").as_uri())
    assert [one.text.split(":")[0] for one in chromium.find_elements(By.CSS_SELECTOR, ".missing")] == [
        "This run has no texts.parquet",
        "This run has no alignment.parquet",
    ]
    chromium.find_element(By.CSS_SELECTOR, ".open").click()
    assert "holds no texts" in chromium.find_element(By.CSS_SELECTOR, ".details").text
    assert chromium.get_log("browser") == []


def test_a_run_of_300_queries_adds_little_to_the_page(tmp_path):
    """Twenty runs with 24 cells of three measures must stay under 10 MB: at most 450 kB each, even of random values."""
    random, rows = np.random.default_rng(0), []
    pools, lengths, measures = ["a", "b", "c"], [8, 16, 32, 64], ["nDCG@10", "R@1", "R@10"]
    for arm in ("truncate", "pad"):
        for pool in pools:
            for length in lengths:
                for measure in measures:
                    values = random.random(300).round(4)
                    rows += [["d", "c", arm, pool, length, measure, f"q{at}", value] for at, value in enumerate(values)]
    columns = ["dataset", "checkpoint", "arm", "pool", "length", "measure", "query_id", "value"]
    table = pd.DataFrame(rows, columns=columns).astype({"length": "Int64"})
    summary = table.groupby(columns[:6], sort=False)["value"].mean().reset_index()
    summary = summary.assign(ci_low=0.4, ci_high=0.6, n_queries=300, delta=0.0, retained=1.0)
    config = {
        "dataset": "d",
        "split": "test",
        "checkpoint": "c",
        "pool": pools,
        "lengths": lengths,
        "measures": measures,
        "arms": ["truncate", "pad"],
        "depth": 100,
        "seed": 0,
    }
    tests = {name: [] for name in TESTS}
    sizes = []
    for number in range(2):
        run = RunDirectory(tmp_path / f"eval-d-c-{number}")
        run.start("eval", config, "me")
        run.finish(summary, table, pd.DataFrame(tests), Manifest("eval", config, {}, None, {}, {"dataset": "x"}))
        made = harness.report(*tmp_path.glob("eval-*"), format="html", output=tmp_path / f"out{number}")
        sizes.append(made.files[0].stat().st_size)
    assert sizes[1] - sizes[0] < 450_000 and sizes[0] < 1_700_000


def test_packed_data_holds_no_letter_that_html_reads():
    from harness.reports.formats import page as pages

    held = pages.pack({"text": HOSTILE, "more": "</script>\u2028"})
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", held)
    assert json.dumps(HOSTILE) and pages.digest("") == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
