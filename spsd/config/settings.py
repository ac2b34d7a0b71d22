"""The settings: every key with its type, its bounds, its default and what it means."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class ServerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the daemon listens, and how clients prove themselves."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on.")] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0: any free one.")] = 8443
    certificate: Annotated[
        str | None, Meta(description="PEM chain, with `key`; neither: a self-signed pair is made.")
    ] = None
    key: Annotated[str | None, Meta(description="PEM private key, not encrypted.")] = None
    plain_http: Annotated[bool, Meta(description="No TLS: behind a proxy or on loopback.")] = False
    session_idle_minutes: Annotated[
        int, Meta(ge=1, le=1440, description="A session not used for so long is over.")
    ] = 20


class StateSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where everything lies."""

    directory: Annotated[
        str, Meta(description="Database, partial images and slots; one local file system.")
    ] = "/var/lib/spsd"


class SlotSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The firmware slots."""

    count: Annotated[int, Meta(ge=1, le=99, description="Slots, numbered from 1.")] = 5
    accept: Annotated[
        Literal["iso", "any"], Meta(description="What is installed: ISO 9660 only, or any image.")
    ] = "iso"


class FetchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How images are fetched."""

    concurrent: Annotated[int, Meta(ge=1, le=64, description="Jobs at a time.")] = 1
    connections: Annotated[
        int, Meta(ge=1, le=16, description="Connections for one job, where the origin allows.")
    ] = 4
    tls: Annotated[
        Literal["checksum", "strict"],
        Meta(description="`checksum`: the digest protects; `strict`: TLS must verify as well."),
    ] = "checksum"
    ca_file: Annotated[
        str | None, Meta(description="PEM authorities to trust instead of the system's.")
    ] = None
    allow: Annotated[
        tuple[str, ...], Meta(description="Networks to connect to beside public and private ones.")
    ] = ()
    proxy: Annotated[
        str | None,
        Meta(
            description='`http://user:password@host:port`; `""`: none; unset: the environment\'s.'
        ),
    ] = None
    no_proxy: Annotated[
        tuple[str, ...] | None,
        Meta(description="Hosts, domains, networks without proxy; unset: the environment's."),
    ] = None
    connect_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Longest wait for a connection.")
    ] = 30.0
    minimum_bytes_per_s: Annotated[
        int, Meta(ge=1, le=2**40, description="Slower than this is a stall.")
    ] = 1024
    stall_window_s: Annotated[
        float, Meta(gt=0, le=3600, description="Time over which the rate is measured.")
    ] = 60.0
    attempts: Annotated[
        int, Meta(ge=1, le=1000, description="Failures in a row without getting ahead.")
    ] = 10
    backoff_initial_s: Annotated[
        float, Meta(gt=0, le=3600, description="Wait after the first failure; it then doubles.")
    ] = 1.0
    backoff_limit_s: Annotated[
        float, Meta(gt=0, le=86400, description="The wait grows no longer than this.")
    ] = 60.0
    rate_limit_bytes_per_s: Annotated[
        int, Meta(ge=0, le=2**40, description="For all jobs together; 0: none.")
    ] = 0
    start_spread_s: Annotated[
        float,
        Meta(ge=0, le=86400, description="Starts of a fleet are spread over this; 0: at once."),
    ] = 0.0


class UpgradeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is run for `test` and `upgrade` of a slot."""

    test_hooks: Annotated[
        tuple[str, ...],
        Meta(description="Executables that judge a slot; `SPSD_IMAGE` and more tell which."),
    ] = ()
    activate_hook: Annotated[
        str, Meta(description="Executable that readies the next boot; it may be run twice.")
    ] = ""
    hook_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="A hook that takes longer is killed, and failed.")
    ] = 60.0
    reboot_command: Annotated[
        tuple[str, ...], Meta(description="Program and arguments; empty: no reboot.")
    ] = ()


class MetricsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may read `/metrics`."""

    token_file: Annotated[
        str | None,
        Meta(description="File with the token that opens `/metrics` from elsewhere; none: closed."),
    ] = None


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How the log on standard error looks."""

    format: Annotated[
        Literal["auto", "text", "json"],
        Meta(description="`auto`: text, without the time where the journal keeps it."),
    ] = "auto"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    server: ServerSettings = ServerSettings()
    state: StateSettings = StateSettings()
    slots: SlotSettings = SlotSettings()
    fetch: FetchSettings = FetchSettings()
    upgrade: UpgradeSettings = UpgradeSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
