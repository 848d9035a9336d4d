"""The command line prints what was asked for; its errors are one line, never a trace."""

import base64
import re
from pathlib import Path

import psycopg
import pytest

from core.identifiers import encode, new_id
from tests.counterfoil.command_line import Ended, run


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


def test_a_publishable_key_is_made_without_a_scope(
    fresh_database_url: str, tenant_name: str
) -> None:
    def create(*arguments: str) -> Ended:
        wanted = ("create", "shop page", *arguments, "--tenant", tenant_name)
        return run("keys", *wanted, DATABASE_URL=fresh_database_url)

    made = create("--publishable")
    nothing = create()
    both = create("--publishable", "--scope", "ADMIN")

    assert re.fullmatch(r"cf_pub_test_\S{40}\n", made.stdout)
    assert nothing.returncode == 2
    assert both.returncode == 1
    assert not nothing.stdout + both.stdout


def test_an_origin_is_allowed_listed_and_removed(
    fresh_database_url: str, fresh_admin_url: str, tenant_name: str
) -> None:
    def origins(*arguments: str) -> str:
        ended = run("origins", *arguments, "--tenant", tenant_name, DATABASE_URL=fresh_database_url)
        return ended.stdout + ended.stderr.partition(" (")[0]

    assert origins("add", "https://Shop.example:443") == "https://shop.example is allowed.\n"
    assert origins("add", "http://shop.example").startswith("error: ")
    assert origins("list") == "https://shop.example\n"
    assert origins("remove", "https://shop.example") == "https://shop.example is refused.\n"
    assert origins("remove", "https://shop.example").startswith("error: ")
    with psycopg.connect(fresh_admin_url) as admin:
        acts = admin.execute("SELECT action, actor FROM audit_log ORDER BY id").fetchall()
    assert [act for act, _ in acts] == ["origin.allow", "origin.disallow"]
    assert all(actor.startswith("cli") for _, actor in acts)


def test_a_provider_is_added_changed_and_listed(
    fresh_database_url: str, fresh_admin_url: str, tenant_name: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    environment = {
        "DATABASE_URL": fresh_database_url,
        "COUNTERFOIL_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
    }

    def providers(*arguments: str) -> str:
        ended = run("providers", *arguments, "--tenant", tenant_name, **environment)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def state() -> tuple[bytes, dict[str, object]]:
        with psycopg.connect(fresh_admin_url) as admin:
            row = admin.execute(
                "SELECT secrets_sealed, to_jsonb(p) FROM provider_account AS p"
            ).fetchone()
        assert row is not None
        return row

    secret.write_text("sk_first")
    files = ("--secret-key-file", str(secret), "--webhook-secret-file", str(secret))
    providers(
        "add", "--adapter", "stripe", "--name", "till", "--base-url", "https://a.example", *files
    )
    first, _ = state()

    changed = "--disable --priority 7 --base-url https://b.example --field multicapture=yes"
    changed += " --breaker open --failures-to-open 3"
    assert providers("update", "till", *changed.split()) == "till is changed.\n"
    sealed, row = state()
    assert sealed != first
    assert (row["enabled"], row["priority"], row["base_url"]) == (False, 7, "https://b.example")
    assert row["fields"] == {"multicapture": "yes"}
    policy = row["breaker_policy"]
    assert isinstance(policy, dict)
    assert (policy["forced_open"], policy["dry_run"], policy["failures_to_open"]) == (
        True,
        False,
        3,
    )
    assert "disabled" in providers("list")

    secret.write_text("sk_second\nsk_first\n")
    providers("update", "till", "--enable", "--breaker", "watch", "--secret-key-file", str(secret))
    _, row = state()
    policy = row["breaker_policy"]
    assert isinstance(policy, dict)
    assert (row["enabled"], policy["forced_open"], policy["dry_run"]) == (True, False, True)
    assert (row["priority"], policy["failures_to_open"]) == (7, 3)

    with psycopg.connect(fresh_admin_url) as admin:
        acts = admin.execute("SELECT action, audit_log::TEXT FROM audit_log ORDER BY id").fetchall()
    assert [act for act, _ in acts] == ["provider.add", "provider.update", "provider.update"]
    assert '"secrets_replaced": true' in acts[-1][1].replace('""', '"')
    assert not any("sk_" in text for _, text in acts)

    for arguments, message in [
        (("update", "till", "--enable"), "Say what to change"),
        (("update", "nobody", "--enable"), "There is no such provider account"),
        (("update", "till", "--base-url", "nonsense"), "must be like https://"),
        (("update", "till", "--field", "multicapture"), "must be like multicapture=yes"),
    ]:
        ended = run("providers", *arguments, "--tenant", tenant_name, **environment)
        assert ended.returncode != 0
        assert message in ended.stderr
        assert "Traceback" not in ended.stderr


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
