"""The commit that environment.json names, against git itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tlx.records.commit import commit_of
from tlx.records.environment import environment


def git(directory: Path, *arguments: str) -> str:
    """What git answers; it reads no configuration of this machine."""
    names = {f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = [shutil.which("git") or pytest.skip("no git here"), "-C", str(directory), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits on two branches."""
    made = tmp_path / "repository"
    made.mkdir()
    git(made, "init", "--quiet", "--initial-branch=main")
    (made / "a").write_text("1")
    git(made, "add", "a")
    git(made, "commit", "--quiet", "--message=one")
    git(made, "branch", "old/one")
    git(made, "commit", "--quiet", "--allow-empty", "--message=two")
    (made / "inside" / "deeper").mkdir(parents=True)
    return made


def test_the_commit_is_the_one_that_git_names(repository: Path) -> None:
    """Guards against reading git's files in another way than git does: loose and packed refs, worktrees, `.git` files,
    and packed refs that a later loose one replaces."""
    tree, module = repository.parent / "tree", repository / "module"
    git(repository, "worktree", "add", "--quiet", str(tree), "old/one")
    git(repository, "clone", "--quiet", str(repository), str(module))
    (module / ".git").rename(repository / ".git" / "module")
    (module / ".git").write_text("gitdir: ../.git/module\n")
    for directory in (repository, repository / "inside" / "deeper", tree, module):
        assert commit_of(directory) == git(directory, "rev-parse", "HEAD"), directory
    assert commit_of(tree) != commit_of(repository)
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git" / "refs" / "heads" / "main").exists()
    for directory in (repository, tree):
        assert commit_of(directory) == git(directory, "rev-parse", "HEAD"), directory
    git(repository, "commit", "--quiet", "--allow-empty", "--message=three")
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "--quiet", "--detach", "HEAD~1")
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD")


def test_there_is_none_outside_a_repository_and_before_its_first_commit(tmp_path: Path) -> None:
    """Guards against a run that fails for want of a commit."""
    assert commit_of(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert commit_of(tmp_path) is None


@pytest.mark.parametrize(
    "head", ["ref: refs/../../key", "ref: refs/heads/../../../key", "ref: ../key", "ref: /key", "x"]
)
def test_a_repository_of_somebody_else_names_no_other_file(tmp_path: Path, head: str) -> None:
    """Guards against a HEAD that leads out of its repository."""
    (tmp_path / "key").write_text("a" * 40)
    (tmp_path / "work" / ".git" / "refs" / "heads").mkdir(parents=True)
    (tmp_path / "work" / ".git" / "HEAD").write_text(head)
    assert commit_of(tmp_path / "work") is None


def test_odd_files_in_the_place_of_gits_are_passed_over(tmp_path: Path) -> None:
    """Guards against a pipe that is waited for, a file without end and a ref that names itself."""
    folder = tmp_path / ".git"
    (folder / "refs" / "heads").mkdir(parents=True)
    os.mkfifo(folder / "commondir")
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / "refs" / "heads" / "main").write_text("ref: refs/heads/main\n")
    assert commit_of(tmp_path) is None
    (folder / "refs" / "heads" / "main").unlink()
    (folder / "packed-refs").write_bytes(b"\xff" * 100)
    assert commit_of(tmp_path) is None
    with (folder / "packed-refs").open("wb") as file:
        file.truncate(2**40)
    assert commit_of(tmp_path) is None
    (folder / "HEAD").write_text("[" * 100_000)
    assert commit_of(tmp_path) is None


def test_a_repository_runs_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against asking git, which runs what the repository's configuration names (core.fsmonitor)."""
    mark, program = repository / "mark", repository / "program"
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    program.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(program))
    monkeypatch.chdir(repository)
    assert environment()["git"] == git(repository, "rev-parse", "HEAD")
    assert not mark.exists()
    git(repository, "describe", "--always", "--dirty=+")  # the hook works
    assert mark.exists()
