"""The command line prints what was asked for; its errors are one line, never a trace."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from core.identifiers import encode, new_id
from counterfoil.layout import ROOT


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")
    }
    return subprocess.run(
        [sys.executable, "-m", "counterfoil", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=inherited | {"COLUMNS": "200"} | environment,
    )


@pytest.fixture
def tenant_name(fresh_admin_url: str) -> str:
    with psycopg.connect(fresh_admin_url) as admin:
        admin.execute(
            "INSERT INTO tenant (public_id, name, base_currency) VALUES (%s, 'shop', 'EUR')",
            [new_id()],
        )
    return "shop"


def test_help_lists_the_commands() -> None:
    told = run("--help")

    assert told.returncode == 0
    commands = set(re.findall(r"^  ([a-z-]+) ", told.stdout, re.MULTILINE))
    assert {"serve", "work", "migrate", "keys", "simulator"} <= commands


def test_every_command_has_help() -> None:
    listed = run("--help").stdout.partition("Commands:")[2]
    commands = re.findall(r"^  ([a-z-]+) ", listed, re.MULTILINE)

    for command in commands:
        assert run(command, "--help").returncode == 0, command


def test_a_wrong_setting_is_one_line_that_names_it() -> None:
    ended = run("migrate", COUNTERFOIL_PORT="eighty")

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: COUNTERFOIL_PORT: ")
    assert "Traceback" not in ended.stderr


def test_a_database_that_is_away_is_an_error_without_a_trace(tmp_path: Path) -> None:
    ended = run(
        "keys",
        "list",
        DATABASE_URL="postgresql://a:b@127.0.0.1:1/c",
        COUNTERFOIL_DATA_DIR=str(tmp_path),
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.stderr


def test_a_key_is_made_listed_rotated_and_revoked(
    fresh_database_url: str, fresh_admin_url: str, tenant_name: str
) -> None:
    def keys(*arguments: str) -> str:
        ended = run("keys", *arguments, "--tenant", tenant_name, DATABASE_URL=fresh_database_url)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    made = keys("create", "till 7", "--scope", "PAYMENTS_READ", "--scope", "PAYMENTS_WRITE")
    assert re.fullmatch(r"cf_test_\S{40}\n", made)

    listed = keys("list")
    assert "till 7" in listed
    assert "PAYMENTS_READ PAYMENTS_WRITE" in listed
    assert made.strip() not in listed

    (key_id,) = re.findall(r"key_\w+", listed)
    replaced = keys("rotate", key_id)
    assert re.fullmatch(r"cf_test_\S{40}\n", replaced)
    assert replaced != made

    assert keys("revoke", key_id) == f"{key_id} is revoked.\n"
    with psycopg.connect(fresh_admin_url) as admin:
        acts = admin.execute("SELECT action, actor FROM audit_log ORDER BY id").fetchall()
    assert [act for act, _ in acts] == ["key.issue", "key.issue", "key.revoke"]
    assert all(actor.startswith("cli") for _, actor in acts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "x", "--scope", "EVERYTHING", "--tenant", "shop"), "There is no such scope."),
        (("list", "--tenant", "nobody"), "There is no tenant of this name."),
        (("revoke", "key_nonsense", "--tenant", "shop"), "The id is not one of ours."),
        (("revoke", encode("key", new_id()), "--tenant", "shop"), "There is no such key."),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...], message: str, fresh_database_url: str, tenant_name: str
) -> None:
    assert tenant_name == "shop"

    ended = run("keys", *arguments, DATABASE_URL=fresh_database_url)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {message}")
    assert "Traceback" not in ended.stderr


def test_an_old_schema_in_the_operators_database_is_not_changed_unasked(
    fresh_admin_url: str, fresh_database_url: str, tenant_name: str
) -> None:
    with psycopg.connect(fresh_admin_url) as admin:
        admin.execute("UPDATE alembic_version SET version_num = '0001'")

    ended = run("keys", "list", "--tenant", tenant_name, DATABASE_URL=fresh_database_url)

    assert ended.returncode == 1
    assert "python -m counterfoil migrate" in ended.stderr
