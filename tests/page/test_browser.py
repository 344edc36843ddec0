"""The page in headless Chromium, as a reader uses it."""

import base64
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paged import HOSTILE, NAMES, runs, unchanged

from skeleton_adv.page.board import attacks
from skeleton_adv.page.make import Content, write_page
from skeleton_adv.page.tables import tables
from skeleton_adv.runs.load import Run

MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
if MISSING:
    pytest.skip(f"requires {MISSING[0]}: apt-get install chromium chromium-driver", allow_module_level=True)
pytest.importorskip("selenium", reason="requires selenium: pip install selenium")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.options import Options  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1000")
PATIENCE = 30  # seconds; a busy machine is slow


class Reader:
    """A browser with the page, and what a reader does with it."""

    def __init__(self, path: Path, downloads: Path) -> None:
        options = Options()
        options.binary_location = str(shutil.which("chromium"))
        for flag in FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
        )
        self.path, self.downloads = path, downloads

    def go(self, section: str) -> None:
        """Open a section, loading the page again, so that no test depends on another one."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.path.as_uri()}#{section}")
        self.until(lambda: self.all("main > *"))

    def run(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> Any:
        self.until(lambda: self.all(selector))
        return self.all(selector)[0]

    def click(self, selector: str) -> None:
        self.run("arguments[0].click()", self.one(selector))

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector
        )
        return found

    def choose(self, label: str, value: str) -> None:
        self.run(
            "const one = document.querySelector(`select[aria-label='${arguments[0]}']`); one.value = arguments[1];"
            "one.dispatchEvent(new Event('change'))",
            label,
            value,
        )

    def until(self, holds: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while not (found := holds()):
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.05)
        return found

    def saved(self, name: str) -> str:
        self.until(lambda: (self.downloads / name).exists())
        text = (self.downloads / name).read_text()
        (self.downloads / name).unlink()
        return text

    def pixels(self) -> str:
        found: str = self.run("return document.querySelector('.stage canvas').toDataURL()")
        return found

    def frame(self) -> int:
        return int(self.run("return document.querySelector('input[type=range]').value"))

    def press(self, *keys: str) -> None:
        self.one(".stage canvas").send_keys(*keys)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def reader(made: list[Run], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("page")
    theirs = {"by": HOSTILE, "reference": "a paper"}
    row = {**attacks(made)[0], "attack": "theirs", "run": "", "reported": theirs}
    found = Reader(
        write_page(Content(made, own=[unchanged()], reported=[row]), folder), tmp_path_factory.mktemp("downloads")
    )
    yield found
    found.driver.quit()


@pytest.fixture(autouse=True)
def nothing_goes_wrong(reader: Reader) -> Iterator[None]:
    """No test leaves a message in the console, and no name has run as a script."""
    yield
    assert [entry for entry in reader.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert reader.run("return window.hacked === undefined")


def test_first_paint_takes_less_than_a_second_of_the_processor(reader: Reader) -> None:
    reader.driver.get("about:blank")
    reader.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    reader.driver.get(reader.path.as_uri())
    reader.until(lambda: reader.run("return performance.getEntriesByName('first-contentful-paint').length"))
    found = reader.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    assert {one["name"]: one["value"] for one in found}["TaskDuration"] < 1
    reader.driver.execute_cdp_cmd("Performance.disable", {})


def test_leaderboard_sorts_and_filters(reader: Reader) -> None:
    reader.go("leaderboard")
    reader.click("[data-sort=rms_mm]")
    sizes = [float(text.split()[0]) for text in reader.texts("td[data-key=rms_mm]")]
    assert sizes == sorted(sizes, reverse=sizes[0] > sizes[-1]) and len(sizes) == 6
    reader.click("[data-sort=attack]")
    assert reader.one("th:has([data-sort=attack])").get_attribute("aria-sort") == "ascending"
    reader.one("[data-sort=victim]").send_keys(Keys.ENTER)  # the keyboard continues where it was
    assert reader.run("return document.activeElement.dataset.sort") == "victim"
    reader.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert reader.one("th:has([data-sort=victim])").get_attribute("aria-sort") == "descending"
    reader.choose("Threat model", "linf_10mm")
    assert reader.run("return [...document.querySelectorAll('tr[data-run]')].map((one) => one.dataset.run)") == [
        "utd_mhad/attack/bbb"
    ]
    search = reader.one("input[type=search]")
    search.send_keys("no such attack")
    assert reader.texts(".empty") and not reader.all("tr[data-run]")
    assert reader.run("return document.activeElement.type") == "search"
    search = reader.one("input[type=search]")
    search.send_keys(Keys.CONTROL, "a")
    search.send_keys("P-G_D H-CN")  # hyphens and case do not matter
    assert reader.run("return [...document.querySelectorAll('tr[data-run]')].map((one) => one.dataset.run)") == [
        "utd_mhad/attack/bbb"
    ]


def test_filters_do_not_remove_controls_or_columns(reader: Reader) -> None:
    reader.go("leaderboard")
    before = [reader.texts(".board thead th"), len(reader.all(".filters select"))]
    reader.choose("Threat model", "linf_10mm")
    assert [reader.texts(".board thead th"), len(reader.all(".filters select"))] == before
    assert "10 mm" in reader.texts(".controls > .note")[0]
    reader.click(".filters .quiet")


def test_every_number_of_the_leaderboard_is_that_of_the_tables(reader: Reader, made: list[Run]) -> None:
    reader.go("leaderboard")
    cells = "[...row.querySelectorAll('td[data-key]')].map((one) => [one.dataset.key, one.textContent])"
    shown = reader.run(
        "return Object.fromEntries([...document.querySelectorAll('tr[data-run]')].map((row) => [row.dataset.run,"
        f"Object.fromEntries({cells})]))"
    )
    del shown[""]
    rows = {row["run"]: row for row in attacks(made)}
    assert {*shown} == {*rows}
    for key, texts in shown.items():
        for name in ("clean_accuracy", "success_if_right", "feasible_success_if_right"):
            assert texts[name] == rows[key][name]["text"] != ""
        assert texts["rms_mm"] == f"{rows[key]['rms_mm']['text']} mm"


def test_every_cell_of_every_table_is_that_of_the_command_line(reader: Reader, made: list[Run]) -> None:
    for table in tables(made):
        name = f"{table['dataset']}/{table['name']}"
        reader.go(f"tables/{name}")
        reader.one(f"article[data-table='{name}']")
        shown = reader.run(
            "return [...document.querySelectorAll('article table')].map((table) => [...table.rows].map((row) =>"
            "[...row.cells].map((cell) => cell.textContent)))"
        )
        for found, wanted in zip(shown, [table, *table["further"]], strict=True):
            assert found == [wanted["heads"], *[[str(cell) for cell in row] for row in wanted["rows"]]]


def test_a_cell_opens_its_run(reader: Reader, made: list[Run]) -> None:
    reader.go("leaderboard")
    reader.click("tr[data-run$=aaa] .open")
    reader.until(lambda: HOSTILE in "".join(reader.texts("dialog td")))  # the class of the clips, as text
    drawer = reader.texts("dialog")[0]
    assert "null" not in drawer and "undefined" not in drawer
    before = reader.texts("dialog .plain tbody tr")
    assert [row.split("was wrong already")[1:] != [] for row in before] == [False, False, False, False, True, True]
    run = next(run for run in made if run.identity == "aaa")
    assert run.command in drawer and "weights" in drawer and all(name in drawer for name in NAMES)
    reader.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    reader.until(lambda: not reader.run("return document.querySelector('dialog').open"))
    reader.click("tr[data-run$=ccc] .open")
    reader.until(lambda: "weaker than it could be" in reader.texts("dialog")[0])
    assert "may not repeat this run" in reader.texts("dialog")[0] and "94.0 %" in reader.texts("dialog")[0]


def test_matrix_and_victims_open_runs(reader: Reader) -> None:
    reader.go("leaderboard")
    reader.click("[data-value=matrix]")
    reader.click(".heat")
    reader.until(lambda: reader.run("return document.querySelector('dialog').open"))
    reader.go("leaderboard")
    reader.click("[data-value=victims]")
    assert reader.texts("td[data-key=worst_case]")[0].endswith("(1/4)")


def test_reported_results_are_marked(reader: Reader) -> None:
    reader.go("leaderboard")
    assert reader.texts(".reported .badge") == [f"reported by {HOSTILE}, not checked"]


def test_player_plays_scrubs_and_steps(reader: Reader) -> None:
    reader.go("player/clip-0")
    reader.one(".stage canvas")
    assert reader.frame() == 0
    reader.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert reader.frame() == 2
    reader.press(Keys.END)
    assert reader.frame() == 15
    before = reader.pixels()
    reader.run(
        "const one = arguments[0]; one.value = 9; one.dispatchEvent(new Event('input'))",
        reader.one("input[type=range]"),
    )
    assert reader.frame() == 9 and reader.pixels() != before
    reader.press(Keys.HOME)
    reader.press(" ")
    reader.until(lambda: reader.frame() > 0)
    reader.press(" ")
    assert reader.texts(".play") == ["▶ Play"]


def test_player_turns_and_zooms(reader: Reader) -> None:
    reader.go("player/clip-0")
    canvas = reader.one(".stage canvas")
    before = reader.pixels()
    ActionChains(reader.driver).drag_and_drop_by_offset(canvas, 120, 30).perform()
    turned = reader.pixels()
    assert turned != before
    ActionChains(reader.driver).scroll_from_origin(_origin(canvas), 0, -300).perform()
    reader.until(lambda: reader.pixels() != turned)
    reader.press("0")
    reader.until(lambda: reader.pixels() == before)
    reader.press(Keys.SHIFT, Keys.ARROW_LEFT)
    assert reader.pixels() != before


def _origin(element: Any) -> Any:
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    return ScrollOrigin.from_element(element)


def test_violations_are_found_where_they_are(reader: Reader) -> None:
    """The attack moves the left elbow from the tenth frame on; in the ninth it does not exist."""
    reader.go("player/clip-0")
    reader.until(lambda: reader.texts(".measure button"))
    text = reader.run("return document.querySelector('.measure button[data-kind=bone]').textContent")
    assert "left elbow" in text and "in 7 of 16 frames" in text
    reader.click(".measure button[data-kind=bone]")
    assert reader.frame() >= 9
    assert reader.texts(".joints tbody th")[0] == "left elbow"
    reader.run("document.querySelector(`select[aria-label='Violations of']`).focus()")
    reader.choose("Violations of", "20:0")  # the middle of the spine
    assert reader.run("return document.activeElement.getAttribute('aria-label')") == "Violations of"
    assert "within" in reader.run("return document.querySelector('.measure button[data-kind=bone]').textContent")
    reader.press(Keys.HOME)
    cells = reader.one("canvas[data-kind=speed]")
    ActionChains(reader.driver).move_to_element(cells).click().perform()
    assert reader.frame() in (7, 8)


def test_persons_are_named_only_where_there_are_several(reader: Reader) -> None:
    reader.go("player/clip-2")
    reader.until(lambda: reader.texts(".measure button"))
    assert "left elbow, person 2" in reader.texts(".measure button[data-kind=bone]")[0]
    assert {name.rpartition(", ")[2] for name in reader.texts(".joints tbody th")} <= {"person 1", "person 2"}
    both = reader.pixels()
    reader.click(".joints tbody .open")  # one ring
    assert reader.pixels() != both and re.fullmatch("only left elbow, person [12]", reader.texts("#live")[0])
    reader.go("player/clip-0")
    reader.until(lambda: reader.texts(".measure button"))
    assert "person" not in "".join(reader.texts(".measure button, .joints tbody th"))


def test_a_joint_under_the_pointer_is_named(reader: Reader) -> None:
    reader.go("player/clip-0")
    script = """
        const canvas = document.querySelector(".stage canvas"), box = canvas.getBoundingClientRect(), found = [];
        for (let y = 0; y < box.height; y += 8) {
          for (let x = box.width / 2; x < box.width; x += 8) {
            const place = { clientX: box.left + x, clientY: box.top + y };
            canvas.dispatchEvent(new PointerEvent("pointermove", place));
            if (!document.getElementById("tip").hidden) found.push(document.getElementById("tip").textContent);
          }
        }
        return found;
    """
    reader.until(lambda: reader.run("return document.querySelector('.stage canvas').width > 300"))
    seen = reader.run(script)
    assert any(text.startswith("left elbow\nmoved") for text in seen)


def test_layouts_arrows_and_comparison_change_the_picture(reader: Reader) -> None:
    reader.go("player/clip-0")
    reader.one(".stage canvas")
    reader.press(Keys.END)
    pictures = {reader.pixels()}
    reader.click("[data-value=over]")
    pictures.add(reader.pixels())
    reader.choose("Displacement", "10")
    pictures.add(reader.pixels())
    reader.choose("Colour by", "speed")
    pictures.add(reader.pixels())
    reader.choose("Compare with", "clip-1")
    reader.until(lambda: reader.pixels() not in pictures)
    assert len(pictures) == 4 and "pgd" in reader.texts(".panes")[0]


def test_blind_test_writes_answers(reader: Reader) -> None:
    reader.go("study")
    assert reader.one("input[aria-label=Trials]").get_attribute("value") == "6"  # not the clip that is unchanged
    reader.run("arguments[0].value = '=name'", reader.one("input[aria-label=Participant]"))
    reader.run("arguments[0].value = 3", reader.one("input[aria-label=Trials]"))
    reader.click(".study .play")
    for trial in range(1, 4):
        reader.until(lambda now=trial: f"Trial {now} of 3" in reader.texts(".study")[0])
        assert not any(word in reader.texts(".study")[0] for word in ("admm", "pgd", "Clean", "Adversarial"))
        reader.one(".study").send_keys(Keys.ARROW_LEFT)
    reader.until(lambda: "of 3 correct" in reader.texts(".study")[0])
    reader.click(".study .play")
    lines = reader.saved("study__name.csv").splitlines()
    assert lines[0].startswith("participant,trial,clip") and len(lines) == 4
    assert all(line.startswith("'=name,") for line in lines[1:])  # no formula for a spreadsheet


def test_blind_test_can_be_stopped_and_can_tell(reader: Reader) -> None:
    reader.go("study")
    reader.click("input[aria-label^='Say after']")
    reader.click(".study .play")
    reader.until(lambda: "Trial 1 of 6" in reader.texts(".study")[0])
    reader.one(".study").send_keys(Keys.ARROW_LEFT)
    reader.until(lambda: "Trial 2 of 6" in reader.texts(".study")[0])
    assert re.search("The last answer was (right|wrong); [01] of 1 right", reader.texts(".study")[0])
    reader.click(".study .stop")
    assert "of 1 correct" in reader.texts(".study")[0]


def test_print_is_landscape_and_cuts_nothing(reader: Reader) -> None:
    reader.go("leaderboard")
    reader.until(lambda: reader.run("return document.querySelector('tbody').dataset.complete === ''"))
    paper = {"width": 1047, "height": 718, "deviceScaleFactor": 1, "mobile": False}  # A4 without margins, at 96 dpi
    reader.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    reader.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    right = "(one) => one.getBoundingClientRect().right"
    shown = "return [...document.querySelectorAll('.board thead button')].map((one) => getComputedStyle(one).display)"
    assert {*reader.run(shown)} == {"contents"}  # Chromium repeats headings on every page, but not buttons
    edges = reader.run(f"return [...document.querySelectorAll('.board th, .board td, h1')].map({right})")
    reader.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    reader.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert len(edges) > 50 and max(edges) <= 1047
    found = reader.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", base64.b64decode(found["data"]))
    assert boxes and all(float(width) > float(height) for width, height in boxes)


def test_curves_show_their_numbers_and_save_them(reader: Reader) -> None:
    reader.go("curves")
    kinds = reader.run("return [...document.querySelectorAll('.segments button')].map((one) => one.dataset.value)")
    assert {*kinds} == {"size", "certified", "convergence", "transfer"}
    ActionChains(reader.driver).move_to_element(reader.one(".chart svg")).perform()
    reader.until(lambda: "admm" in reader.texts("#tip")[0])
    reader.click(".segments [data-value=certified]")
    name = reader.one("article.chart").get_attribute("data-chart")
    reader.click("article.chart > .link")
    text = reader.saved(f"{name}.csv")
    assert text.startswith("curve,") and "Zheng et al." in text  # the paper's points are beside ours
    reader.click(".segments [data-value=transfer]")
    assert len(reader.all(".heat")) == 2


def test_every_number_of_the_player_can_be_saved(reader: Reader) -> None:
    reader.go("player/clip-0")
    reader.until(lambda: reader.texts(".measure button"))
    clip = re.sub(
        r"[^\w.-]+", "_", reader.run("return JSON.parse(document.getElementById('core').textContent).clips[0].name")
    )
    reader.click(".strip .note .link")
    lines = reader.saved(f"{clip}_violations.csv").splitlines()
    assert lines[0] == "frame,seconds,bone,bone_of,angle_rad,angle_of,speed,speed_of" and len(lines) == 17
    assert any("left elbow" in line for line in lines[10:])
    reader.click(".joints .save")
    assert reader.saved(f"{clip}_joints.csv").splitlines()[1].startswith("left elbow,")


def test_every_view_of_the_leaderboard_can_be_saved(reader: Reader, made: list[Run]) -> None:
    reader.go("leaderboard")
    reader.click("[data-value=matrix]")
    reader.click(".results .line .link")
    assert len(reader.saved("matrix.csv").splitlines()) == 1 + len(attacks(made))
    reader.click("[data-value=victims]")
    reader.click(".results .count .link")
    assert reader.saved("victims.csv").startswith(
        "dataset,threat,victim,defense,strongest,attacks,clips,worst_case_percent"
    )


def test_names_are_explained_in_place(reader: Reader) -> None:
    reader.go("leaderboard")
    reader.choose("Threat model", "linf_10mm")
    text = reader.texts(".meanings")[0]
    assert "linf ε" in text and "at most 10 mm" in text and "_small" not in text


def test_theme_and_phone(reader: Reader) -> None:
    reader.go("leaderboard")
    before = reader.run("return getComputedStyle(document.body).backgroundColor")
    reader.click("#theme")
    assert reader.run("return getComputedStyle(document.body).backgroundColor") != before
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    reader.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    for section in ("leaderboard", "player/clip-0", "curves", "tables", "about"):
        reader.go(section)
        assert reader.run("return document.documentElement.scrollWidth") <= 390
    reader.go("leaderboard")
    reader.click(".fold")  # the filters unfold
    assert reader.run("return document.querySelector('.filters').offsetHeight") > 0
    for view in ("matrix", "victims"):
        reader.click(f"[data-value={view}]")
        assert reader.run("return document.documentElement.scrollWidth") <= 390
    reader.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_every_control_has_a_name(reader: Reader) -> None:
    for section in ("leaderboard", "player/clip-0", "curves", "tables"):
        reader.go(section)
        nameless = reader.run(
            "return [...document.querySelectorAll('button, select, input, canvas[role], svg[role]')].filter((one) =>"
            "!(one.getAttribute('aria-label') || one.textContent.trim() || one.closest('label'))).length"
        )
        assert nameless == 0, section
    assert json.loads(reader.run("return document.getElementById('core').textContent"))["runs"] == 6
