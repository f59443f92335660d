"""`minillm report paper`: its files, its figures, its page, and what it leaves alone."""

import csv
import io
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minillm.cli import main
from minillm.errors import InputError
from minillm.evaluation.result import Result
from minillm.reporting.paper.lengths import figure_7
from minillm.reporting.paper.missing import COMMANDS, title_of
from minillm.reporting.paper.models import scored_models
from minillm.reporting.paper.report import write_paper
from tests.documents.checking import check
from tests.documents.reading import Command
from tests.reporting.paper.fabricated import metric, result, write, write_runs

ROOT = Path(__file__).parents[3]
REPORTED = ROOT / "results" / "paper"
TABLES = ["table1", "table1_overview", "table2", "table3", "table4", "table7",
          "differences"]  # fmt: skip
FIGURES = ["figure1", "figure5", "figure6", "figure7", "figure8", "figure16",
           "frontier_gpt_2_dolly"]  # fmt: skip
PROBE = """<script>
const log = [];
const set = (id, value) => {
  document.getElementById(id).value = value;
  document.getElementById(id).dispatchEvent(new Event("input"));
};
const shown = () => [document.getElementById("count").textContent,
                     document.querySelector("article .prompt .text").textContent];
set("data", "GPT-2, DollyEval");
log.push(shown());
set("search", "prompt 37");
log.push(shown());
set("search", "");
set("first", "120M MiniLLM");
set("second", "120M SFT");
set("least", "38");
set("order", "better");
log.push(shown());
log.push(document.documentElement.scrollWidth <= window.innerWidth);
log.push([...document.querySelectorAll(".scroll")].every((frame) => frame.tabIndex === 0));
log.push([...document.images].every((image) => image.complete && image.naturalWidth > 0));
document.title = JSON.stringify(log);
</script>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The report of all runs that the tables and figures need."""
    folder = tmp_path_factory.mktemp("paper")
    text = write_paper([write_runs(folder)], folder / "out", REPORTED)
    assert "Not in these results" not in text
    return folder / "out"


def points(report: Path, name: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO((report / f"{name}.csv").read_text())))


def test_every_table_and_figure_has_its_files(report):
    written = {file.name for file in report.iterdir()}
    assert written == set(json.loads((report / "files.json").read_text()))
    assert {f"{name}.{kind}" for name in TABLES for kind in ("md", "csv", "tex")} <= written
    assert {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg", "csv")} <= written
    for name in FIGURES:
        image = Image.open(report / f"{name}.png")
        assert image.width > 800 and len(image.convert("RGB").getcolors(2**24)) > 5, name
        assert (report / f"{name}.svg").read_text().startswith("<?xml")


def test_figures_show_the_values_of_the_results(report):
    rows = points(report, "figure1")
    assert {row["size"] for row in rows if row["family"] == "GPT-2"} == {
        "120M", "340M", "760M", "1.5B"
    }  # fmt: skip
    minillm = next(row for row in rows if (row["size"], row["method"]) == ("120M", "MiniLLM"))
    assert float(minillm["reported"]) == pytest.approx((24.6 + 13.2 + 16.9 + 25.3 + 26.6) / 5)
    sizes = [(row["method"], row["teacher_size"]) for row in points(report, "figure5")]
    assert sizes == [("MiniLLM", size) for size in ("1.5B", "340M", "760M")]
    assert {row["method"] for row in points(report, "figure6")} == {"SFT", "MiniLLM"}
    subsets = [row["subset"] for row in points(report, "figure7") if row["method"] == "MiniLLM"]
    assert sorted(subsets) == ["0 to 5", "11 or more", "6 to 10"]
    variants = {row["variant"] for row in points(report, "figure8")}
    assert variants == {"full", "no length normalisation", "no teacher mixing",
                        "no single-step term"}  # fmt: skip
    alphas = [float(row["alpha"]) for row in points(report, "figure16")]
    assert sorted(alphas) == [0, 0.2, 0.2, 0.5, 0.9]


def test_gains_by_length_on_a_data_set_without_subsets():
    """Scores of 30 inputs whose references have 1 to 30 tokens; MiniLLM gains on long ones only."""
    lengths = np.arange(1, 31)
    results = [result("GPT-2", "120M", method, "e2e") for method in ("sft", "minillm")]
    for each, gain in zip(results, (0, 6 * (lengths > 20)), strict=True):
        each["metrics"]["rougeL"] = metric(np.full(30, 40.0) + gain)
        each["metrics"]["lm_loss"] = metric(np.ones(30)) | {"weights": (lengths + 1.0).tolist()}
    scored = scored_models({each["method"]: Result.from_json(each, "") for each in results})
    rows = figure_7(scored).rows
    assert [row["subset"] for row in rows] == ["0 to 10", "11 to 20", "21 or more"]
    assert [(row["inputs"], row["difference"]) for row in rows] == [(10, 0), (10, 0), (10, 6)]
    for each in results:  # not a data set of its own, but the test set of figure 6
        each["data"] = "dolly_exposure"
    other = scored_models({each["method"]: Result.from_json(each, "") for each in results})
    assert figure_7(other) is None


def test_the_page_is_one_file_without_outside_requests(report):
    text = (report / "index.html").read_text()
    assert not re.search(r"(src|href)=.(https?:|//)|url\(|@import", text)
    for name in [*TABLES, *FIGURES]:
        assert f'id="{name}"' in text and f'href="#{name}"' in text
    assert text.count("data:image/png;base64,") == len([*report.glob("*.png")])


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_works_in_a_browser(report, width, tmp_path):
    page = tmp_path / "probe.html"
    text = (report / "index.html").read_text()
    page.write_text(text.replace("</body>", f"{PROBE}</body>"))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu",
               f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]  # fmt: skip
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True)
    *views, fits, frames, images = json.loads(re.search("<title>(.*?)</title>", done.stdout)[1])
    assert views == [
        ["40 of 40 inputs, page 1 of 4 ", "prompt 0"],
        ["1 of 40 inputs, page 1 of 1 ", "prompt 37"],
        ["3 of 40 inputs, page 1 of 1 ", "prompt 39"],
    ]
    assert fits and frames and images


def test_what_is_missing_has_a_command(tmp_path):
    """One result gives table 1 only, and the report of more results before is deleted."""
    output = tmp_path / "out"
    runs = [result("GPT-2", "120M", m, run=f"{tmp_path}/runs/{m}") for m in ("sft", "minillm")]
    write_paper([write(runs[0]).parent, write(runs[1]).parent], output, None)
    assert (output / "frontier_gpt_2_dolly.png").is_file()
    (output / "notes.txt").write_text("mine")
    del runs[0]["frontier"], runs[0]["metrics"]["lm_loss"]
    text = write_paper([write(runs[0])], output, None)
    assert {file.stem for file in output.glob("table*")} == {"table1", "table1_overview"}
    assert not (output / "frontier_gpt_2_dolly.png").exists()
    assert (output / "notes.txt").read_text() == "mine"
    page = (output / "index.html").read_text()
    for name in set(COMMANDS) - {"table1", "figure1"}:
        assert f"- {title_of(name)}: " in text and f"{title_of(name)}: <code>" in page, name
    assert "- Table 1:" not in text


def test_the_commands_for_what_is_missing_are_right():
    """Programs, files, options and settings exist."""
    text = "\n".join(COMMANDS.values())
    commands = re.findall("`((?:minillm|bash) [^`]*)`", text)
    assert len(commands) > 10
    for command in commands:
        words = shlex.split(command.replace("FOLDER", "my_data"))
        check(Command("missing.py", words))
        check(Command("missing.py", ["minillm", "show", *settings_in(words)]))


def settings_in(words: list[str]) -> list[str]:
    """The settings of a command that need no run, and those that the launch scripts would set."""
    settings = [word for word in words if "=" in word and not word.startswith("teacher.path=")]
    return ["experiment=paper/minillm", "data.path=x", "data.plain_text=y", *settings]


def test_results_that_give_nothing_are_refused(tmp_path):
    """Results of other data are ignored, also if their models cannot be told apart."""
    for folder in ("a", "b"):
        write(result("GPT-2", "120M", "kd", "embedded", run=f"{tmp_path}/runs/{folder}/kd"))
    with pytest.raises(InputError, match="no table or figure can be made of these 2 results"):
        write_paper([tmp_path / "runs"], tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_files_of_others_are_not_replaced(tmp_path):
    run = write(result("GPT-2", "120M", "kd", run=f"{tmp_path}/runs/kd"))
    output = tmp_path / "out"
    output.mkdir()
    (output / "table1.csv").write_text("mine")
    with pytest.raises(InputError, match=r"out holds table1.csv, which no earlier report"):
        write_paper([run], output, None)
    with pytest.raises(InputError, match="is a file"):
        write_paper([run], output / "table1.csv", None)
    assert (output / "table1.csv").read_text() == "mine"


def test_the_command_finds_the_reported_figures(tmp_path, monkeypatch, capsys):
    write(result("GPT-2", "120M", "kd", run=f"{tmp_path}/runs/kd"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPORTED, "results/paper")
    main(["report", "paper", "runs", "--output", "out"])
    assert re.search(r"\(22\.8\)", capsys.readouterr().out)
    with pytest.raises(SystemExit, match="2"):
        main(["report", "paper", "--output", "out"])
    assert "`minillm report paper runs --output" in capsys.readouterr().err


def test_the_script_takes_runs_and_a_folder(tmp_path):
    """In a checkout without .venv, with a program that prints its arguments."""
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(ROOT / "scripts/tables.sh", tmp_path / "scripts")
    program = tmp_path / "minillm"
    program.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RESULTS": "my results"}
    for words, expected in (([], "runs"), (["a b", "c"], "a b|c")):
        done = subprocess.run(["bash", script, *words], env=environment, capture_output=True,
                              text=True, check=True)  # fmt: skip
        assert done.stdout == f"report|paper|{expected}|--output|my results|"
