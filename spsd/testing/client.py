"""A client of the API that shows what is on the wire; it needs the standard library alone."""

import base64
import http.client
import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """One answer, read whole."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def document(self) -> Any:  # noqa: ANN401 - JSON has no better type
        """The JSON that it is; raises ValueError for what is none."""
        return json.loads(self.content)


@dataclass
class Client:
    """Speaks to `url`, over a connection of its own for each call, so a restart is no matter to it.

    A call raises OSError or http.client.HTTPException when the server is not there or breaks off.
    """

    url: str
    context: ssl.SSLContext | None = None
    """How an https server is judged; without one, by the system's certificates."""
    timeout_s: float = 30
    cookie: str | None = field(default=None, repr=False)

    def log_in(self, user: str, password: str) -> Answer:
        """Ask for a session, and keep its cookie if there is one."""
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        answer = self.call(
            "GET", "/api/authentication", headers={"Authorization": f"Basic {basic}"}
        )
        for line in answer.headers.get_all("Set-Cookie", []):
            self.cookie = line.partition(";")[0]
        return answer

    def call(
        self,
        method: str,
        path: str,
        *,
        json_body: object = None,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; `json_body` is encoded, `content` is sent as it is."""
        fields = dict(headers or {})
        if json_body is not None:
            content = json.dumps(json_body).encode()
            fields.setdefault("Content-Type", "application/json")
        if self.cookie is not None:
            fields.setdefault("Cookie", self.cookie)
        connection = self._connection()
        try:
            connection.request(method, path, body=content, headers=fields)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            context = self.context or ssl.create_default_context()
            return http.client.HTTPSConnection(
                host, parts.port, timeout=self.timeout_s, context=context
            )
        return http.client.HTTPConnection(host, parts.port, timeout=self.timeout_s)
