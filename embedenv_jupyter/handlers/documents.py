"""``GET embedenv/api/openapi.json`` and ``asyncapi.json``: what the Engine is spoken with, for programs."""

from __future__ import annotations

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join

from embedenv_jupyter.protocols.engine.asyncapi import asyncapi
from embedenv_jupyter.protocols.engine.openapi import openapi
from embedenv_jupyter.protocols.engine.schemas import Schema

ROOT = "embedenv"
"""Where the routes of a gateway are in every configuration."""


class DocumentHandler(APIHandler):
    """A document that says nothing about this gateway but its address; for everybody."""

    def initialize(self, *, version: str) -> None:
        self.version = version

    @property
    def root(self) -> str:
        return url_path_join(self.base_url, ROOT)

    def document(self) -> Schema:
        """Return what is served."""
        raise NotImplementedError

    @allow_unauthenticated
    async def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(self.document()))


class OpenapiHandler(DocumentHandler):
    """The REST routes."""

    def document(self) -> Schema:
        return openapi(version=self.version, server_url=self.root)


class AsyncapiHandler(DocumentHandler):
    """The WebSocket."""

    def document(self) -> Schema:
        request = self.request
        return asyncapi(
            version=self.version, host=request.host, pathname=self.root, is_secure=request.protocol == "https"
        )
