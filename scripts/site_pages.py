"""Collects the pages of the documentation site in build/pages: `python scripts/site_pages.py`.

The site has the pages of docs/, the reports of results/, the source of `minillm/config.py` as the
page of settings, and one API page per package. Links between these files work on GitHub with the
folders of the checkout; here they are rewritten for the folders of the site. `scripts/docs.sh` runs
this script and builds the site.
"""

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
PAGES_FOLDER = ROOT / "build" / "pages"  # the `docs_dir` of zensical.toml
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
# Files of the checkout that have a page of another name.
PAGES = {"README.md": "index.md", "minillm/config.py": "settings.md"}
# The packages with an API page. `minillm.compat` and `minillm.commands` are internal.
PACKAGES = ("objectives", "sampling", "sources", "teachers", "methods", "models", "data",
            "training", "evaluation", "servers", "judging", "pruning", "reporting", "planning",
            "sweeps", "system2")  # fmt: skip


class SiteError(Exception):
    """A page or a link that the site cannot have."""


def site_path(path: str) -> str:
    """Where the site has a file of the checkout, such as `docs/results.md`: `results.md`.

    Raises:
        SiteError: the site does not have this file.
    """
    folder, _, rest = path.partition("/")
    if path in PAGES:
        return PAGES[path]
    if folder in ("docs", "results") and (ROOT / path).is_file():
        return rest if folder == "docs" else path
    if not (ROOT / path).exists():
        raise SiteError(f"there is no file {path}. Correct the link.")
    raise SiteError(
        f"{path} is not on the site, which has the files of docs/ and results/, and "
        f"{' and '.join(PAGES)}. Name other files without a link."
    )


def with_site_links(text: str, path: str) -> str:
    """The text of the page `path` of the checkout, with the links of the site.

    Raises:
        SiteError: a link leads to a file that is not on the site.
    """
    page = PurePosixPath(site_path(path))

    def rewrite(match: re.Match) -> str:
        start, target, end = match.groups()
        if re.match(r"\w+:", target):
            return match[0]
        file = (ROOT / path).parent.joinpath(target).resolve()
        try:
            destination = site_path(file.relative_to(ROOT).as_posix())
        except (SiteError, ValueError) as error:
            raise SiteError(f"{path}: the link to {target}: {error}") from None
        return start + relative(destination, page.parent) + end

    return LINK.sub(rewrite, text)


def relative(path: str, folder: PurePosixPath) -> str:
    """The path of the site as a link from a page in `folder`."""
    return os.path.relpath(path, folder)


def api_page(package: str) -> str:
    """The page of a package: its docstring, then its modules with all public names."""
    folder = ROOT / "minillm" / package
    name = f"minillm.{package}"
    files = [file for file in sorted(folder.rglob("*.py")) if file != folder / "__init__.py"]
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return (
        f"# {name}\n\n::: {name}\n    options:\n      show_root_heading: false\n"
        "      members: false\n\n"
        + "".join(f"::: {module.removesuffix('.__init__')}\n\n" for module in modules)
    )


def settings_page() -> str:
    """All settings, as the source of `minillm/config.py`."""
    code = (ROOT / "minillm" / "config.py").read_text("utf-8")
    return (
        "# All settings\n\nThis is the source of `minillm/config.py`. A setting is written "
        "`section.key=value`, for example\n`training.lr=1e-5`. The class `Config` at the end has "
        f"the names of the sections.\n\n```python\n{code}```\n"
    )


def navigation() -> Iterator[str]:
    """The pages in the navigation of zensical.toml."""

    def pages(entry: dict | list | str) -> Iterator[str]:
        match entry:
            case str():
                yield entry
            case dict() | list():
                for part in entry.values() if isinstance(entry, dict) else entry:
                    yield from pages(part)

    return pages(tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"])


def check_navigation(folder: Path) -> None:
    """Check that the navigation has every page, except the tables beside the reports.

    Raises:
        SiteError: a page is missing, or an entry has no page.
    """
    entries = set(navigation())
    pages = {page.relative_to(folder).as_posix() for page in folder.rglob("*.md")}
    pages = {page for page in pages if not page.startswith("results/") or "README" in page}
    if missing := pages - entries:
        raise SiteError(f"Add {', '.join(sorted(missing))} to `nav` in zensical.toml.")
    if unknown := entries - pages:
        raise SiteError(f"`nav` in zensical.toml has {', '.join(sorted(unknown))}: no such page.")


def collect(folder: Path) -> None:
    """Write all pages and figures of the site into a new `folder`.

    Raises:
        SiteError: a link leads to a file that is not on the site, or the navigation is wrong.
    """
    for file in [*ROOT.glob("docs/**/*"), *ROOT.glob("results/**/*")]:
        path = file.relative_to(ROOT).as_posix()
        if file.is_file():
            copy = folder / site_path(path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".md":
                copy.write_text(with_site_links(file.read_text("utf-8"), path), "utf-8")
            else:
                shutil.copyfile(file, copy)
    (folder / "settings.md").write_text(settings_page(), "utf-8")
    (folder / "api").mkdir()
    for package in PACKAGES:
        (folder / "api" / f"{package}.md").write_text(api_page(package), "utf-8")
    check_navigation(folder)


if __name__ == "__main__":
    try:
        shutil.rmtree(PAGES_FOLDER, ignore_errors=True)
        collect(PAGES_FOLDER)
    except SiteError as error:
        sys.exit(f"site_pages.py: {error}")
