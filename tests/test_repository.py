"""What lies at the root: one version everywhere, forms and workflows of the right shape, and targets that exist."""

import re
import subprocess
import sys

import pytest
import yaml
from launch_helpers import REPOSITORY

import deeprftv2_arch


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_one_version() -> None:
    assert yaml.safe_load(text_of("CITATION.cff"))["version"] == deeprftv2_arch.__version__
    (newest, *_) = re.findall(r"^## (\S+)", text_of("CHANGELOG.md"), re.MULTILINE)
    assert newest == deeprftv2_arch.__version__


def test_paper_is_cited_as_its_authors_work() -> None:
    citation = yaml.safe_load(text_of("CITATION.cff"))
    (paper,) = citation["references"]
    families = [author["family-names"] for author in paper["authors"]]
    assert families == ["Mao", "Song", "Liu", "Li", "Wang"]
    assert not set(families) & {author.get("family-names") for author in citation["authors"]}
    bibtex = re.findall(r"(\w+), \w", text_of("README.md").split("author  = {")[1].split("}")[0])
    assert bibtex == families


def test_workflow_and_ci_run_targets_that_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", text_of("Makefile"), re.MULTILINE))
    workflow = yaml.safe_load(text_of(".github/workflows/checks.yml"))
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert {f"make {name}" for name in ("install", "test", "docs", "dist")} == set(runs)
    assert {line.removeprefix("make ") for line in runs} <= targets
    assert "make test" in text_of(".ci/run")


@pytest.mark.slow
def test_pre_commit_takes_its_file() -> None:
    pytest.importorskip("pre_commit")
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(REPOSITORY / ".pre-commit-config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("vendor.citation-file-format", "CITATION.cff"),
    ],
)
def test_forms_are_valid(schema: str, files: str) -> None:
    pytest.importorskip("check_jsonschema")
    found = sorted(str(path) for path in REPOSITORY.glob(files))
    assert found
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *found]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
