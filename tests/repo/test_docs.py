"""The documentation says what the code does: error codes, verbs, profile keys, links, navigation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ciuic.verbs import VERBS
from device_profiles import vocabulary
from firmware_py.contracts.errors import all_codes

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PROFILE_CODES = {"profile_invalid", "profile_missing"}
MODES = ("tutorial-", "how-to-", "ref-", "explanation-")


def test_every_error_code_has_its_page_and_no_page_is_left_over() -> None:
    pages = {page.stem for page in (DOCS / "ref-errors").glob("*.md")}
    assert pages == set(all_codes()) | PROFILE_CODES


@pytest.mark.parametrize("page", sorted((DOCS / "ref-errors").glob("*.md")), ids=lambda page: page.stem)
def test_an_error_page_says_what_happened_and_how_to_resolve(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# `{page.stem}`\n")
    assert "\n## What happened\n" in text
    assert re.search(r"\n## How to resolve\n\n- ", text)


def test_the_list_of_errors_links_every_page() -> None:
    linked = set(re.findall(r"\(ref-errors/([a-z0-9_]+)\.md\)", (DOCS / "ref-errors.md").read_text("utf-8")))
    assert linked == set(all_codes()) | PROFILE_CODES


def test_the_command_reference_names_every_verb() -> None:
    text = (DOCS / "ref-cli.md").read_text(encoding="utf-8")
    assert {name for name in VERBS if f"\n## `ciuic {name}`" not in text} == set()


def test_the_profile_reference_names_every_allowed_word() -> None:
    text = (DOCS / "ref-board-profiles.md").read_text(encoding="utf-8")
    words = [*vocabulary.SENSORS, *vocabulary.DELEGATES, *vocabulary.QUALITY_RULES, *vocabulary.RECIPES]
    assert [word for word in words if f"`{word}`" not in text] == []


def test_file_names_carry_their_mode() -> None:
    flat = [page.name for page in DOCS.glob("*.md") if page.name != "index.md"]
    assert [name for name in flat if not name.startswith(MODES)] == []


def test_every_flat_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in DOCS.glob("*.md") if page.name not in nav] == []


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name
)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links {target}"


def test_the_changelog_has_a_section_for_what_comes() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
