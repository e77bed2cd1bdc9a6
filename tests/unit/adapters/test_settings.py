"""Settings come from the environment or from files, all their faults are told at once, and no secret is ever in a message."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.adapters.addresses import redact
from services.adapters.settings import ServerSettings
from services.cli.config import describe, unknown_variables
from services.cli.run import faults_of

GOOD = {
    "MISSIONS_KAFKA_BOOTSTRAP": "kafka:9093",
    "MISSIONS_POSTGRES_DSN": "postgresql://u:hunter2@db/missions",
    "MISSIONS_REDIS_URL": "rediss://u:hunter2@redis:6380/0",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def faults() -> list[str]:
    with pytest.raises(ValidationError) as raised:
        ServerSettings()
    assert "hunter2" not in str(raised.value)
    return faults_of(raised.value)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("POSTGRES_DSN", "postgresql://u:from-a-file@db/missions"),
        ("REDIS_URL", "rediss://u:from-a-file@redis:6380/0"),
        ("KAFKA_SASL_PASSWORD", "from-a-file"),
    ],
)
def test_a_secret_may_be_in_a_file(environment: pytest.MonkeyPatch, tmp_path: Path, name: str, secret: str) -> None:
    environment.setenv("MISSIONS_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    environment.setenv("MISSIONS_KAFKA_SASL_USERNAME", "relay")
    environment.setenv("MISSIONS_KAFKA_SASL_PASSWORD", "hunter2")
    environment.delenv(f"MISSIONS_{name}")
    (tmp_path / "secret").write_text(f"{secret}\n")
    environment.setenv(f"MISSIONS_{name}_FILE", str(tmp_path / "secret"))

    assert getattr(ServerSettings(), name.lower()).get_secret_value() == secret


def test_an_env_file_may_name_the_file_of_a_secret(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.delenv("MISSIONS_REDIS_URL")
    (tmp_path / "url").write_text("redis://from-a-file/0")
    (tmp_path / "stack.env").write_text(f"MISSIONS_REDIS_URL_FILE={tmp_path / 'url'}\n")

    settings = ServerSettings(_env_file=tmp_path / "stack.env")

    assert settings.redis_url.get_secret_value() == "redis://from-a-file/0"


def test_a_secret_that_is_set_twice_is_a_fault(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("postgresql://u:hunter2@other/missions")
    environment.setenv("MISSIONS_POSTGRES_DSN_FILE", str(tmp_path / "dsn"))

    assert faults() == ["MISSIONS_POSTGRES_DSN is set, and so is MISSIONS_POSTGRES_DSN_FILE: unset one of them"]


@pytest.mark.parametrize("contents", [None, b"", b"\n", b"two\nlines", b"\xff\xfe", b"x" * 70_000])
def test_a_file_without_a_secret_is_a_fault(
    environment: pytest.MonkeyPatch, tmp_path: Path, contents: bytes | None
) -> None:
    environment.delenv("MISSIONS_REDIS_URL")
    environment.setenv("MISSIONS_REDIS_URL_FILE", str(tmp_path / "url"))
    if contents is not None:
        (tmp_path / "url").write_bytes(contents)

    [fault] = faults()
    assert fault.startswith("MISSIONS_REDIS_URL the file that MISSIONS_REDIS_URL_FILE names ")
    assert str(tmp_path) in fault


def test_all_faults_are_told_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("MISSIONS_KAFKA_BOOTSTRAP")
    environment.setenv("MISSIONS_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    environment.setenv("MISSIONS_KAFKA_SSL_CAFILE", "/no/such/ca.pem")
    environment.setenv("MISSIONS_KAFKA_SSL_KEYFILE", "/no/such/key.pem")
    environment.setenv("MISSIONS_POSTGRES_DSN", "mysql://u:hunter2@db/missions")
    environment.setenv("MISSIONS_OUTPUT_PARTITIONS", "many")

    named = sorted(line.split()[0].removeprefix("MISSIONS_") for line in faults())

    assert named == [
        "KAFKA_BOOTSTRAP", "KAFKA_SASL_PASSWORD", "KAFKA_SASL_USERNAME", "KAFKA_SSL_CAFILE", "KAFKA_SSL_CERTFILE",
        "KAFKA_SSL_KEYFILE", "OUTPUT_PARTITIONS", "POSTGRES_DSN",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_SASL_PASSWORD", "hunter2"),
        ("KAFKA_SSL_CAFILE", __file__),
        ("POSTGRES_DSN", "postgresql://u:hunter2@db/missions?sslmode=verify_full"),
        ("POSTGRES_DSN", "postgresql://u:hun/hunter2@db:5432/missions"),
        ("POSTGRES_DSN", "postgresql://u:p#hunter2@db/missions"),
        ("POSTGRES_DSN", "postgresql://db:hunter2/missions"),
        ("REDIS_URL", "redis:6379"),
        ("REDIS_URL", "redis://u:hun/hunter2@redis:6379/0"),
    ],
)
def test_what_would_not_be_used_or_understood_is_a_fault(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(f"MISSIONS_{name}", value)

    [fault] = faults()
    assert fault.startswith(f"MISSIONS_{name} ")
    assert "hunter2" not in fault


def test_settings_are_shown_without_secrets(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("MISSIONS_KAFKA_SASL_PASSWORD", "hunter2")
    environment.setenv("MISSIONS_POSTGRES_DSN", "postgresql://u:hun/hunter2@x@db/missions")
    environment.delenv("MISSIONS_REDIS_URL")
    (tmp_path / "url").write_text("redis://u:hunter2@redis/0")
    environment.setenv("MISSIONS_REDIS_URL_FILE", str(tmp_path / "url"))

    shown = {line.variable: line for line in describe(ServerSettings)}

    assert "hunter2" not in str(shown)
    assert shown["MISSIONS_REDIS_URL"].value == "redis://u:***@redis/0"
    assert shown["MISSIONS_REDIS_URL"].source == f"file {tmp_path / 'url'}"
    assert shown["MISSIONS_KAFKA_BOOTSTRAP"].source == "environment"
    assert shown["MISSIONS_OUTPUT_PARTITIONS"].source == "default"


def test_a_name_that_nobody_reads_is_found_and_the_right_one_offered() -> None:
    environment = {
        "MISSIONS_KAFKA_SASL_PASWORD": "x",
        "MISSIONS_COLOUR": "green",
        "MISSIONS_POSTGRES_DSN_FILE": "x",
        "MISSIONS_PORT_API": "1",
        "MISSIONS_API_SERVICE_HOST": "10.0.0.1",
        "MISSIONS_API_PORT_18080_TCP": "tcp://10.0.0.1:18080",
        "PATH": "x",
    }

    assert unknown_variables(environment) == [
        ("MISSIONS_COLOUR", None),
        ("MISSIONS_KAFKA_SASL_PASWORD", "MISSIONS_KAFKA_SASL_PASSWORD"),
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://u:hunter2@db/missions now", "at postgresql://u:***@db/missions now"),
        ("rediss://:hunter2@h:1/0", "rediss://:***@h:1/0"),
        ("postgresql://u:hun/hunter2@x@db/m", "postgresql://u:***@db/m"),
        ("x?sslpassword=hunter2&a=b", "x?sslpassword=***&a=b"),
        ("postgresql://u@db/missions", "postgresql://u@db/missions"),
    ],
)
def test_passwords_are_taken_out_of_any_text(text: str, shown: str) -> None:
    assert redact(text) == shown
