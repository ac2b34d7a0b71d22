"""A client of the API that shows status, header fields and body; standard library only."""

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
    """One response with its whole body."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def document(self) -> Any:  # noqa: ANN401 - JSON has no better type
        """The body as JSON.

        Raises:
            ValueError: The body is not JSON.
        """
        return json.loads(self.content)


@dataclass
class Client:
    """A client of the server at `url`; each call opens a new connection, so a restart is allowed.

    A call raises OSError or http.client.HTTPException when the server cannot be reached or the
    connection breaks.
    """

    url: str
    context: ssl.SSLContext | None = None
    """How an https server is verified; None: with the system's certificates."""
    timeout_s: float = 30
    cookie: str | None = field(default=None, repr=False)
    """The session cookie, as `name=value`; None: not logged in."""

    def log_in(self, user: str, password: str) -> Answer:
        """Log in with HTTP Basic; `cookie` becomes the session cookie if the response sets one."""
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
        """Send one request; `json_body` is encoded as JSON, `content` is sent unchanged."""
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
