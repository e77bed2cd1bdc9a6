"""Side work that runs beside a role: an error ends the role as itself, so that it is shown with its remedy."""

import asyncio

import pytest

from services.operations.startup import StartError, background


async def never_ends() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise StartError("it is broken", "mend it")


async def test_an_error_of_the_role_comes_out_as_it_is() -> None:
    with pytest.raises(StartError, match="Fix: mend it"):
        async with background(never_ends(), never_ends()):
            await fails()


async def test_an_error_of_side_work_ends_the_role_as_it_is() -> None:
    with pytest.raises(StartError, match="Fix: mend it"):
        async with background(never_ends(), fails()):
            await never_ends()


async def test_of_two_errors_none_is_lost() -> None:
    async def fails_at_the_end() -> None:
        try:
            await never_ends()
        finally:
            raise ValueError("and this")

    async def role() -> None:
        async with background(fails_at_the_end()):
            await asyncio.sleep(0)
            await fails()

    with pytest.raises(ExceptionGroup) as both:
        await role()
    assert {type(error) for error in both.value.exceptions} == {StartError, ValueError}
