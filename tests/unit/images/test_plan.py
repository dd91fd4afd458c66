from __future__ import annotations

import dataclasses

import pytest

from embedenv_jupyter.images import plan
from embedenv_jupyter.images.plan import ImageNameError
from embedenv_jupyter.languages.registry import Languages, UnknownLanguageError

LANGUAGES = Languages.shipped()


def ids(*wanted: str) -> list[str]:
    return [language.id for language in plan.select(wanted, LANGUAGES)]


def test_selection_by_tier_and_name() -> None:
    assert ids("all") == [language.id for language in LANGUAGES]
    assert ids("core") == [language.id for language in LANGUAGES if language.tier == "core"]
    assert 30 <= len(ids("core")) < len(ids("all"))
    assert sorted(ids("PY", "lua", "py")) == ["lua", "python"]
    extra = next(language.id for language in LANGUAGES if language.tier == "extra")
    assert set(ids("core", extra)) == {*ids("core"), extra}


def test_unknown_language_is_named() -> None:
    with pytest.raises(UnknownLanguageError, match="'klingon' is no language"):
        ids("lua", "klingon")


def test_image_is_called_by_what_it_has() -> None:
    assert plan.name_for(["core"], plan.select(["core"], LANGUAGES)) == "core"
    assert plan.name_for(["lua", "perl"], plan.select(["lua", "perl"], LANGUAGES)) == "perl-lua"
    with pytest.raises(ImageNameError):
        plan.name_for(["core", "raku"], plan.select(["core", "raku"], LANGUAGES))


@pytest.mark.parametrize(
    "name", ["", "Upper", "a/b", "../x", "-x", ".x", "a" * 64, "trees", "building", "a\n"]
)
def test_names_that_no_image_may_have(name: str) -> None:
    with pytest.raises(ImageNameError, match="no name for an image"):
        plan.check_name(name)


@pytest.mark.parametrize("name", ["core", "all", "perl-lua", "my_image.2", "a" * 63])
def test_names_that_an_image_may_have(name: str) -> None:
    assert plan.check_name(name) == name


def test_plan_has_everything_that_its_languages_need() -> None:
    chosen = plan.select(["all"], LANGUAGES)
    made = plan.make_plan("all", chosen)
    scripts = "\n".join(step.script for step in made.steps)
    assert dict(made.apt) == {language.id: language.all_packages["apt"] for language in chosen}
    for language in chosen:
        for package in (*language.all_packages["pip"], *language.all_packages["npm"]):
            assert package in scripts
        assert language.prepare.strip() in scripts
    assert "apt-get" not in scripts
    assert len({step.id for step in made.steps}) == len(made.steps)
    assert made.steps[0].language == ""


def test_packages_come_before_what_uses_them() -> None:
    (first, *rest) = plan.make_plan("x", plan.select(["zig"], LANGUAGES)).steps
    assert first.id == "python"
    assert {step.language for step in rest} == {"zig"}
    assert "ziglang" in rest[0].script
    assert "caches" in rest[-1].title
    assert dict(rest[-1].env)["EMBEDENV_LANGUAGES"] == plan.LANGUAGES_INSIDE


def test_language_can_be_had_without_its_session_driver_alone() -> None:
    steps = plan.make_plan("x", plan.select(["zig", "scala"], LANGUAGES)).steps
    driver = [step for step in steps if not step.essential]
    assert [(step.language, "Driver.scala" in step.script) for step in driver] == [("scala", True)]
    assert sum(step.language == "scala" for step in steps) == 2


def test_fingerprint_changes_with_plan_and_sources() -> None:
    made = plan.make_plan("x", plan.select(["lua"], LANGUAGES))
    other = dataclasses.replace(made, apt=())
    assert made.fingerprint("a") == made.fingerprint("a")
    assert len({made.fingerprint("a"), made.fingerprint("b"), other.fingerprint("a")}) == 3
