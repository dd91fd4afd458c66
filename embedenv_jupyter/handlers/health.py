"""``GET embedenv/health``: whether the gateway serves, for load balancers and people."""

from __future__ import annotations

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.gateway import Gateway


class HealthHandler(APIHandler):
    """Says ``ok`` with the version and the tier, or 503 with the reason."""

    def initialize(self, *, gateway: Gateway, version: str) -> None:
        self._gateway = gateway
        self._version = version

    @allow_unauthenticated
    async def get(self) -> None:
        try:
            await self._gateway.ready()
        except SandboxUnavailableError as exc:
            self.set_status(503)
            self.finish({"status": "unavailable", "reason": str(exc)})
            return
        self.finish({"status": "ok", "version": self._version, "tier": self._gateway.tier.name})
