"""The pages of the documentation site: links, navigation and API pages."""

import shutil

import pytest

from scripts import site_pages
from tests.documents.reading import ROOT, links


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of all pages, as scripts/docs.sh makes it."""
    folder = tmp_path_factory.mktemp("site") / "pages"
    site_pages.collect(folder)
    return folder


def test_links_of_the_site_lead_to_its_files(site):
    pages = list(site.rglob("*.md"))
    targets = [(page, link.partition("#")[0]) for page in pages for link in links(page)]
    assert len(targets) > 50
    for page, target in targets:
        assert (page.parent / target).exists(), f"{page}: {target}"


def test_links_between_folders_are_rewritten():
    text = site_pages.with_site_links("[a](../results/e2e/README.md#b)", "docs/results.md")
    assert text == "[a](results/e2e/README.md#b)"
    text = site_pages.with_site_links("[a](../minillm/config.py)", "docs/results.md")
    assert text == "[a](settings.md)"


@pytest.mark.parametrize("target", ["missing.md", "../minillm/cli.py", "../../outside.md"])
def test_a_link_to_no_page_is_refused(target):
    with pytest.raises(site_pages.SiteError, match=r"docs/results\.md: the link to"):
        site_pages.with_site_links(f"[a]({target})", "docs/results.md")


def test_a_page_that_is_not_in_the_navigation_is_refused(site, tmp_path):
    pages = shutil.copytree(site, tmp_path / "pages")
    (pages / "new.md").write_text("# New\n")
    with pytest.raises(site_pages.SiteError, match=r"Add new\.md to `nav`"):
        site_pages.check_navigation(pages)
    (pages / "new.md").rename(pages / "methods.md")
    (pages / "code.md").unlink()
    with pytest.raises(site_pages.SiteError, match=r"has code\.md: no such page"):
        site_pages.check_navigation(pages)


def test_each_public_package_has_an_api_page():
    packages = {init.parent.name for init in ROOT.glob("minillm/*/__init__.py")}
    assert packages == {*site_pages.PACKAGES, "commands", "compat", "settings"}
