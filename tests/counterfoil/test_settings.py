"""Settings come from the environment once, and every mistake names its variable."""

import base64
from pathlib import Path

import pytest
from pydantic import ValidationError

from counterfoil.settings import InvalidSettings, Settings
from tests.tenants.signing import Signer, key_set

KEY = base64.b64encode(bytes(32)).decode()


def refusal(**environment: str) -> str:
    with pytest.raises(InvalidSettings) as raised:
        Settings.read(environment)
    return str(raised.value)


def test_without_an_environment_there_are_the_defaults() -> None:
    settings = Settings.read({})

    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.public_url == "http://127.0.0.1:8000"
    assert settings.data_dir == Path.cwd() / ".data"
    assert settings.database_url is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("COUNTERFOIL_PORT", "eighty"),
        ("COUNTERFOIL_PORT", "0"),
        ("COUNTERFOIL_PORT", "65536"),
        ("COUNTERFOIL_LOG_FORMAT", "xml"),
        ("COUNTERFOIL_LOG_LEVEL", "loud"),
        ("COUNTERFOIL_GRAPHIQL", "perhaps"),
        ("COUNTERFOIL_LEASE_SECONDS", "-1"),
        ("COUNTERFOIL_LEASE_SECONDS", "nan"),
        ("COUNTERFOIL_POOL_SIZE", "1"),
        ("COUNTERFOIL_PUBLIC_URL", "example.org"),
        ("COUNTERFOIL_TRUSTED_PROXIES", "*"),
        ("COUNTERFOIL_TRUSTED_PROXIES", "10.0.0.0/8,everybody"),
        ("COUNTERFOIL_KEY_COST_PER_MINUTE", "999"),
        ("COUNTERFOIL_PERSISTED_OPERATIONS", "perhaps"),
        ("COUNTERFOIL_DATABASE_URL", "mysql://somebody@somewhere/something"),
        ("COUNTERFOIL_ENCRYPTION_KEY", "c2hvcnQ="),
        ("COUNTERFOIL_ENCRYPTION_KEY", "not base64 at all"),
    ],
)
def test_a_malformed_variable_is_named_and_its_value_not_shown(variable: str, value: str) -> None:
    message = refusal(**{variable: value})

    assert message.startswith(f"{variable}: ")
    if len(value) > 8:
        assert value not in message


def test_an_unknown_variable_is_named_with_the_likely_one() -> None:
    message = refusal(COUNTERFOIL_PROT="8000")

    assert message == "COUNTERFOIL_PROT: there is no such setting; did you mean COUNTERFOIL_PORT?"


def test_every_mistake_is_told_at_once() -> None:
    message = refusal(COUNTERFOIL_PORT="x", COUNTERFOIL_NONSENSE="1", COUNTERFOIL_POOL_SIZE="0")

    assert [line.partition(":")[0] for line in message.splitlines()] == [
        "COUNTERFOIL_NONSENSE",
        "COUNTERFOIL_PORT",
        "COUNTERFOIL_POOL_SIZE",
    ]


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.read({"COUNTERFOIL_PORT": "", "DATABASE_URL": ""}) == Settings.read({})


def test_the_plain_database_url_is_respected() -> None:
    settings = Settings.read({"DATABASE_URL": "postgresql://a:b@c/d"})

    assert settings.app_database_url == "postgresql://a:b@c/d"
    assert settings.admin_database_url == "postgresql://a:b@c/d"


def test_our_own_database_url_comes_before_the_plain_one() -> None:
    settings = Settings.read(
        {"DATABASE_URL": "postgresql://x/x", "COUNTERFOIL_DATABASE_URL": "postgresql://y/y"}
    )

    assert settings.app_database_url == "postgresql://y/y"


def test_a_malformed_plain_database_url_is_refused() -> None:
    assert "DATABASE_URL" in refusal(DATABASE_URL="nonsense")


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")

    settings = Settings.read({"COUNTERFOIL_ENCRYPTION_KEY_FILE": str(file)})

    assert settings.encryption_key_bytes == bytes(32)


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    message = refusal(COUNTERFOIL_ENCRYPTION_KEY_FILE=str(tmp_path / "none"))

    assert message.startswith("COUNTERFOIL_ENCRYPTION_KEY_FILE: cannot read ")


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)

    message = refusal(COUNTERFOIL_ENCRYPTION_KEY=KEY, COUNTERFOIL_ENCRYPTION_KEY_FILE=str(file))

    assert "COUNTERFOIL_ENCRYPTION_KEY_FILE" in message
    assert "set only one" in message


def test_only_secrets_come_from_files() -> None:
    assert "no such setting" in refusal(COUNTERFOIL_PORT_FILE="/etc/hostname")


def test_secrets_are_not_printed() -> None:
    settings = Settings.read(
        {"DATABASE_URL": "postgresql://a:hunter2@c/d", "COUNTERFOIL_ENCRYPTION_KEY": KEY}
    )

    assert "hunter2" not in repr(settings)
    assert KEY not in repr(settings)


def test_a_lease_outlasts_the_calls_made_under_it() -> None:
    message = refusal(COUNTERFOIL_LEASE_SECONDS="5", COUNTERFOIL_PROVIDER_CALL_BUDGET_SECONDS="3.5")

    assert message.startswith("COUNTERFOIL_PROVIDER_CALL_BUDGET_SECONDS: ")
    Settings.read(
        {"COUNTERFOIL_LEASE_SECONDS": "5", "COUNTERFOIL_PROVIDER_CALL_BUDGET_SECONDS": "3"}
    )


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("shop.internal", "http://shop.internal:8000"),
    ],
)
def test_the_public_url_follows_the_address(host: str, url: str) -> None:
    assert Settings.read({"COUNTERFOIL_HOST": host}).public_url == url


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings.read({}).port = 1


ISSUER = {"COUNTERFOIL_OIDC_ISSUER": "https://id.example"}
AUDIENCE = {"COUNTERFOIL_OIDC_AUDIENCE": "https://pay.example"}
KEYS = {"COUNTERFOIL_OIDC_JWKS_URL": "https://id.example/keys"}


@pytest.mark.parametrize(
    ("given", "blamed"),
    [
        (ISSUER | AUDIENCE, "JWKS_FILE"),
        (ISSUER | KEYS, "AUDIENCE"),
        (AUDIENCE, "AUDIENCE"),
        (KEYS, "JWKS_URL"),
        (ISSUER | AUDIENCE | KEYS | {"COUNTERFOIL_OIDC_JWKS_FILE": "keys.json"}, "JWKS_FILE"),
        (ISSUER | AUDIENCE | {"COUNTERFOIL_OIDC_JWKS_URL": "http://id.example/keys"}, "JWKS_URL"),
        (ISSUER | AUDIENCE | {"COUNTERFOIL_OIDC_JWKS_URL": "file:///etc/keys"}, "JWKS_URL"),
        (ISSUER | AUDIENCE | {"COUNTERFOIL_OIDC_JWKS_URL": "https://"}, "JWKS_URL"),
        (ISSUER | AUDIENCE | {"COUNTERFOIL_OIDC_JWKS_URL": "https://[x"}, "JWKS_URL"),
        (ISSUER | AUDIENCE | {"COUNTERFOIL_OIDC_JWKS_URL": "http://127.0.0.1.x/"}, "JWKS_URL"),
        ({"COUNTERFOIL_OIDC_JWKS_FILE": "keys.json"}, "JWKS_FILE"),
    ],
)
def test_an_identity_provider_is_given_whole_or_not_at_all(
    given: dict[str, str], blamed: str
) -> None:
    lines = refusal(**given).splitlines()

    assert [line.partition(":")[0] for line in lines] == [f"COUNTERFOIL_OIDC_{blamed}"]


@pytest.mark.parametrize(
    "url", ["https://id.example/keys", "http://127.0.0.1:9/keys", "http://[::1]:9/keys"]
)
def test_keys_come_by_https_or_from_this_machine(url: str) -> None:
    settings = Settings.read(ISSUER | AUDIENCE | {"COUNTERFOIL_OIDC_JWKS_URL": url})

    assert settings.oidc_jwks_url == url


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"<html>", "is no JSON Web Key Set"),
        (key_set(), "has no key that can be used: it is empty"),
        (key_set({"kty": "RSA"}), "has no key that can be used: key 1: no key id"),
        (key_set(Signer.new("a").private_part()), "its private part was published"),
    ],
)
def test_a_file_of_keys_is_read_at_start(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    file = tmp_path / "keys.json"
    if content is not None:
        file.write_bytes(content)

    message = refusal(**ISSUER, **AUDIENCE, COUNTERFOIL_OIDC_JWKS_FILE=str(file))

    assert message.startswith("COUNTERFOIL_OIDC_JWKS_FILE: ")
    assert complaint in message


def test_a_file_of_public_keys_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(Signer.new("a").published()))

    settings = Settings.read(ISSUER | AUDIENCE | {"COUNTERFOIL_OIDC_JWKS_FILE": str(file)})

    assert settings.oidc_jwks_file == file


@pytest.mark.parametrize("which", ["", "STOREFRONT_"])
def test_only_kept_operations_need_a_file_and_a_file_needs_to_be_used(which: str) -> None:
    mode = f"COUNTERFOIL_{which}PERSISTED_OPERATIONS"

    for given in ({mode: "only"}, {mode: "off", f"{mode}_FILE": "operations.json"}):
        assert refusal(**given).startswith(f"{mode}_FILE: ")


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        ({}, "allow"),
        ({"FILE": "operations.json"}, "allow"),
        ({"FILE": "operations.json", "GRAPHIQL": "off"}, "only"),
        ({"GRAPHIQL": "off"}, "allow"),
        ({"FILE": "operations.json", "GRAPHIQL": "off", "MODE": "allow"}, "allow"),
        ({"FILE": "operations.json", "MODE": "only"}, "only"),
        ({"MODE": "off"}, "off"),
    ],
)
def test_in_production_pages_run_only_what_is_kept_if_anything_is(
    environment: dict[str, str], mode: str
) -> None:
    names = {
        "FILE": "COUNTERFOIL_STOREFRONT_PERSISTED_OPERATIONS_FILE",
        "MODE": "COUNTERFOIL_STOREFRONT_PERSISTED_OPERATIONS",
        "GRAPHIQL": "COUNTERFOIL_GRAPHIQL",
    }

    settings = Settings.read({names[name]: value for name, value in environment.items()})

    assert settings.storefront_mode == mode
