"""The whole system on servers with TLS, passwords and permissions, each role with no more than it needs."""

from pathlib import Path

from services.adapters.kafka.access import security_of
from services.adapters.kafka.producer import Publisher
from services.adapters.kafka.reader import read_from
from services.adapters.settings import ServerSettings
from services.adapters.tokens import TokenSettings
from services.stack.system import LocalStack
from tests.support.events import lesson
from tests.support.secured.servers import Secured, run_missions
from tests.support.system import Running, until


async def test_a_learner_is_paid_over_encrypted_connections(secured_stack: LocalStack, secured: Secured) -> None:
    settings = ServerSettings(_env_file=secured_stack.env_file)
    security = security_of(settings)
    async with Publisher(settings.kafka_bootstrap, client_id="test", security=security) as publisher:
        system = Running(secured_stack, secured.servers, publisher, TokenSettings(_env_file=secured_stack.env_file))
        learner = system.learner("secured")
        await learner.opens_app()
        await learner.does(lesson())
        missions = await learner.until_progress(daily_lesson_1=1)
        claimed = await learner.claim(missions["daily-lesson-1"]["assignment_id"])
    assert claimed.status_code == 200, claimed.text

    async def published() -> bool:
        records = [
            r async for _, r in read_from(settings.kafka_bootstrap, "missions.reward-granted", security=security)
        ]
        return any(record.key == learner.user.encode() for record in records)

    await until(published, "the grant on missions.reward-granted")


def test_the_doctor_names_who_we_are_and_that_it_is_encrypted(secured: Secured, tmp_path: Path) -> None:
    done = run_missions({**secured.environment("missions-operator"), "MISSIONS_LOCAL_DIR": str(tmp_path)}, "doctor")

    lines = {line.split("  ")[1].strip(): line for line in done.stdout.splitlines() if "sign-in" in line}
    assert "SASL_SSL as missions-operator" in lines["Kafka sign-in"], done.stdout
    assert "as missions, TLSv1.3" in lines["Postgres sign-in"]
    assert "with TLS" in lines["Redis sign-in"]


def test_nothing_that_was_started_printed_a_password(secured_stack: LocalStack, secured: Secured) -> None:
    said = {name: role.log_path.read_text() for name, role in secured_stack.roles.items()}

    assert all(said.values())
    assert [(name, secret) for name, text in said.items() for secret in secured.passwords.all if secret in text] == []
