"""REST ``embedenv/api/languages``: what rooms of this gateway can run, and how they get more."""

from __future__ import annotations

from contextlib import aclosing

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.iostream import StreamClosedError

from embedenv_jupyter.accounts import LOCAL_ACCOUNT
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.handlers.access import OwnHandler
from embedenv_jupyter.handlers.engine import EVENT_STREAM
from embedenv_jupyter.handlers.problems import ProblemError
from embedenv_jupyter.languages.registry import Language, Languages, UnknownLanguageError
from embedenv_jupyter.protocols.engine.installation import InstallCommand, LanguageDetails
from embedenv_jupyter.rooms.peer import SEND_TIMEOUT_S


class LanguagesHandler(OwnHandler):
    """The list that ``embedenv languages --json`` prints, for who may look at rooms."""

    @allow_unauthenticated
    async def get(self) -> None:
        who = await self.principal("read")
        assert who.account is not None, "without a room, only an account is let in"
        self.answer(await self.gateway.survey.listing())


class LanguageHandler(OwnHandler):
    """One language, and how it is installed."""

    @allow_unauthenticated
    async def get(self, name: str) -> None:
        await self.principal("read")
        language = named(self.gateway.desk.sessions.languages, name)
        installer = self.gateway.installer
        steps = [InstallCommand(step.title, step.command) for step in installer.steps(language)]
        self.answer(
            LanguageDetails(
                id=language.id, name=language.name, hello=language.samples.hello, steps=steps,
                command=f"embedenv languages install {language.id}", obstacle=installer.obstacle(),
            )
        )  # fmt: skip


class InstallHandler(OwnHandler):
    """Installs a language, and tells of it as Server-Sent Events. It goes on when the peer leaves."""

    def compute_etag(self) -> None:
        """Answers are not kept anywhere."""

    @allow_unauthenticated
    async def post(self, name: str) -> None:
        who = await self.principal("execute")
        if who.account is None or who.account.id != LOCAL_ACCOUNT.id:
            raise ProblemError(403, "Only users of this Jupyter server may install languages.", "NoLogin")
        installer = self.gateway.installer
        language = named(self.gateway.desk.sessions.languages, name)
        if obstacle := installer.obstacle():
            raise ProblemError(409, obstacle, "NotInstallable")
        installation = installer.begin(language.id)
        self.set_header("Content-Type", EVENT_STREAM)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")  # nginx would keep events until it has many
        async with aclosing(installation.events()) as events:
            async for number, event in events:
                kind = event.__struct_config__.tag
                self.write(f"event: {kind}\nid: {number}\ndata: {msgspec.json.encode(event).decode()}\n\n")
                try:
                    async with deadline(SEND_TIMEOUT_S):
                        await self.flush()
                except (StreamClosedError, TimeoutError):
                    self.log.info("nobody watches any more how %s is installed", language.id)
                    return


def named(languages: Languages, name: str) -> Language:
    """Find a language.

    Raises:
        ProblemError: there is none of this name.
    """
    try:
        return languages.named(name)
    except UnknownLanguageError as exc:
        raise ProblemError(404, str(exc), "UnknownLanguage") from exc
