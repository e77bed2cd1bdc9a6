"""Reads secrets from the files that `NAME_FILE` variables name, as Docker and Kubernetes mount them."""

from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource
from typing_extensions import override

SUFFIX = "_FILE"

SECRET_BYTES_MAX = 64 * 1024
"""A secret is a line; what is larger is another file."""


class Unreadable:
    """Stands in for a secret that can't be had; no text, so that its setting is refused with `says`."""

    def __init__(self, says: str) -> None:
        self.says = says


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is never shown, and may be in a file."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


class SecretFiles(EnvSettingsSource):
    """A source of settings: for each secret, the contents of the file that its `NAME_FILE` variable names."""

    def __init__(self, settings_cls: type[BaseSettings], dotenv: PydanticBaseSettingsSource | None = None) -> None:
        super().__init__(settings_cls)
        self._dotenv = dotenv.env_vars if isinstance(dotenv, EnvSettingsSource) else {}

    @override
    def __call__(self) -> dict[str, Any]:
        """Secrets by field name; an `Unreadable` where the file can't be read, or the secret is set twice."""
        return {
            name: self._secret(name, path)
            for name, field in self.settings_cls.model_fields.items()
            if is_secret(field) and (path := self._variable(name + SUFFIX.lower()))
        }

    def _variable(self, name: str) -> str | None:
        key = (self.env_prefix + name).lower()
        return self.env_vars.get(key) or self._dotenv.get(key)

    def _secret(self, name: str, path: str) -> "str | Unreadable":
        variable = (self.env_prefix + name).upper()
        if self._variable(name):
            return Unreadable(f"is set, and so is {variable}{SUFFIX}: unset one of them")
        try:
            with Path(path).open("rb") as file:
                read = file.read(SECRET_BYTES_MAX + 1)
            text = read.decode().rstrip("\r\n")
        except OSError as error:
            return Unreadable(f"the file that {variable}{SUFFIX} names can't be read: {path}: {error.strerror}")
        except UnicodeDecodeError:
            return Unreadable(f"the file that {variable}{SUFFIX} names is not text: {path}")
        if not text or len(read) > SECRET_BYTES_MAX or "\n" in text:
            return Unreadable(f"the file that {variable}{SUFFIX} names must hold the secret alone, in one line: {path}")
        return text
