"""report.html: what it holds, and its sample browser in a real browser where there is one."""

import json
import re
import shutil
import subprocess

import pytest

from minillm.reporting.report import write_report

HOSTILE = "</script><script>alert(1)</script> <b>&amp;"
PROBE = """<script>
const log = [];
const set = (id, value) => {
  document.getElementById(id).value = value;
  document.getElementById(id).dispatchEvent(new Event("input"));
};
const shown = () => [document.getElementById("count").textContent,
                     document.querySelector("article .prompt .text").textContent];
log.push(shown());
set("search", " of INPUT 37");
log.push(shown());
set("search", "");
set("first", "sft");
set("second", "gkd");
set("order", "better");
log.push(shown());
set("order", "worse");
set("least", "38");
log.push(shown());
set("least", "0");
document.getElementById("next").click();
log.push(shown());
log.push(document.documentElement.scrollWidth <= window.innerWidth);
document.title = JSON.stringify(log);
</script>"""


@pytest.fixture
def report(runs, tmp_path):
    """A report of runs with responses: sft is better on later inputs, gkd on earlier ones."""
    for run in ("sft-1", "gkd-1"):
        sign = 1 if run == "sft-1" else -1
        rows = [
            {"seed": seed, "topic": None, "prompt": f"input {i} of 40", "response": f"{run} {i}",
             "references": [HOSTILE], "rougeL": 50 + sign * (i - 20)}
            for seed in (10, "greedy")
            for i in range(40)
        ]  # fmt: skip
        lines = [json.dumps(row) for row in rows] + ['{"seed": 10, "prompt"']
        (runs / run / "evaluation/e2e.responses.jsonl").write_text("\n".join(lines))
    output = tmp_path / "report"
    write_report([runs], output, title="Ours & <theirs>", page=True)
    return output / "report.html"


def test_the_page_is_one_file_with_everything(report):
    text = report.read_text()
    assert "<h1>Ours &amp; &lt;theirs&gt;</h1>" in text
    assert text.count("data:image/png;base64,") == len([*report.parent.glob("*.png")])
    assert re.search("<td[^>]*>sft</td>", text)
    assert not re.search(r"(src|href)=.(https?:|//)|url\(|@import", text)
    content = re.search(r'id="content">(.*?)</script>', text, re.DOTALL)[1]
    content = json.loads(content)
    inputs = content["samples"]["e2e"]
    assert content["methods"]["e2e"] == ["gkd", "sft"]
    assert [one["prompt"] for one in inputs] == [f"input {i} of 40" for i in range(40)]
    assert inputs[3]["references"] == [HOSTILE]
    assert inputs[3]["responses"]["gkd"] == {"sampled": ["gkd-1 3", 67], "greedy": ["gkd-1 3", 67]}


def test_damaged_lines_are_named(report, caplog):
    messages = [record.getMessage() for record in caplog.get_records("setup")]
    assert len([x for x in messages if "responses.jsonl, line 81 is not a response" in x]) == 2


def test_a_report_without_the_page_deletes_an_older_one(report, runs):
    write_report([runs], report.parent)
    assert not report.exists()
    write_report([report.parent], report.parent, page=True)  # from results.json: no responses
    assert 'id="samples"' not in report.read_text()


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 500])
def test_the_browser_of_responses_works(report, width, tmp_path):
    page = tmp_path / "probe.html"
    page.write_text(report.read_text().replace("</body>", f"{PROBE}</body>"))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu",
               f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]  # fmt: skip
    result = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True)
    *views, fits = json.loads(re.search("<title>(.*?)</title>", result.stdout)[1])
    assert views == [
        ["40 of 40 inputs, page 1 of 4 ", "input 0 of 40"],
        ["1 of 40 inputs, page 1 of 1 ", "input 37 of 40"],
        ["40 of 40 inputs, page 1 of 4 ", "input 39 of 40"],
        ["3 of 40 inputs, page 1 of 1 ", "input 0 of 40"],
        ["40 of 40 inputs, page 2 of 4 ", "input 10 of 40"],
    ]
    assert fits
