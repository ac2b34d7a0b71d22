"""The configuration file: defaults, errors with file and key, the metrics token, the example."""

import tomllib
from contextlib import suppress
from pathlib import Path

import hypothesis
import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from spsd.config import Settings, fingerprint_of, load, metrics_token, reference
from spsd.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[1] / "systemd" / "spsd.toml"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "spsd.toml"


def keys():
    defaults = msgspec.to_builtins(Settings())
    return {(section, key) for section, table in defaults.items() for key in table}


def test_an_empty_file_means_the_defaults(file):
    file.write_text("")
    assert load(file) == Settings()


def test_values_replace_the_defaults(file):
    file.write_text(
        '[server]\nport = 0\nplain_http = true\n[fetch]\nallow = ["10.1.2.3/8", "::1"]\n'
        "connect_timeout_s = 3\n"
    )
    settings = load(file)
    assert settings.server.port == 0
    assert settings.server.plain_http
    assert settings.fetch.allow == ("10.1.2.3/8", "::1")
    assert settings.fetch.connect_timeout_s == 3.0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[fetch]\nconcurent = 2", "fetch.concurent: there is no such key"),
        ("[fletch]", "fletch: there is no such key"),
        ("server = 1", "server: Expected `object`, got `int`"),
        ("[server]\nport = 65536", "server.port: Expected `int` <= 65535"),
        ("[server]\nport = -1", "server.port: Expected `int` >= 0"),
        ("[server]\nport = true", "server.port: Expected `int`, got `bool`"),
        ('[server]\nport = "8443"', "server.port: Expected `int`, got `str`"),
        ("[slots]\ncount = 0", "slots.count: Expected `int` >= 1"),
        ("[slots]\ncount = 100", "slots.count: Expected `int` <= 99"),
        ('[slots]\naccept = "raw"', "slots.accept: Invalid enum value 'raw'"),
        ("[fetch]\nconcurrent = 65", "fetch.concurrent: Expected `int` <= 64"),
        ("[fetch]\nconnections = 17", "fetch.connections: Expected `int` <= 16"),
        ('[fetch]\ntls = "none"', "fetch.tls: Invalid enum value 'none'"),
        ("[fetch]\nallow = [1]", "fetch.allow[0]: Expected `str`, got `int`"),
        ('[fetch]\nallow = ["lab"]', "fetch.allow: 'lab' does not appear to be an IPv4"),
        ("[fetch]\nstall_window_s = nan", "fetch.stall_window_s: Expected"),
        ("[fetch]\nstall_window_s = inf", "fetch.stall_window_s: Expected"),
        ("[fetch]\nbackoff_limit_s = 0.5", "fetch.backoff_limit_s: is less than"),
        (
            '[fetch]\nca_file = "/nowhere.pem"',
            "fetch.ca_file: '/nowhere.pem' is not a readable file",
        ),
        ('[fetch]\nca_file = "/etc/passwd"', "fetch.ca_file: '/etc/passwd' holds no certificates"),
        ('[fetch]\nproxy = "socks5://p:1"', "fetch.proxy: the scheme of the proxy is socks5, and"),
        (
            '[fetch]\nproxy = "http://p:99999"',
            "fetch.proxy: the URL of the proxy is no valid URL: ",
        ),
        ('[fetch]\nproxy = "http://u:w@"', "fetch.proxy: the URL of the proxy names no host"),
        ('[fetch]\nno_proxy = ["a,b"]', "fetch.no_proxy: 'a,b' is no host, no domain and no net"),
        ('[fetch]\nno_proxy = ["10.0.0.0/33"]', "fetch.no_proxy: '10.0.0.0/33' is no network"),
        ('[server]\ncertificate = "/c.pem"', "server.key: is missing"),
        ('[server]\nkey = "/k.pem"', "server.certificate: is missing"),
        (
            '[server]\ncertificate = "c.pem"\nkey = "/k.pem"',
            "server.certificate: 'c.pem' is not an absolute path",
        ),
        (
            '[server]\nplain_http = true\ncertificate = "/c.pem"\nkey = "/k.pem"',
            "server.plain_http: is true, although server.certificate is set",
        ),
        *(
            (
                f'[server]\ncertificate_names = ["{name}"]',
                f"server.certificate_names: '{name}' is no",
            )
            for name in (
                "",
                "a b",
                "münchen.example",
                "-a",
                "a..b",
                "a.",
                "_x",
                "1.2.3.400",
                "::1%1",
            )
        ),
        (
            '[server]\nplain_http = true\ncertificate_names = ["a"]',
            "server.certificate_names: has no effect, since server.plain_http is set",
        ),
        ('[state]\ndirectory = "state"', "state.directory: 'state' is not an absolute path"),
        ('[upgrade]\ntest_hooks = ["/a", "b"]', "upgrade.test_hooks: 'b' is not an absolute path"),
        ('[upgrade]\nactivate_hook = "b"', "upgrade.activate_hook: 'b' is not an absolute path"),
        ('[upgrade]\nreboot_command = [""]', "upgrade.reboot_command: names no program"),
        (
            "[server]\nport 8443",
            "is not valid TOML: Expected '=' after a key in a key/value pair (at line",
        ),
    ],
)
def test_an_error_is_one_line_with_file_and_key(file, text, problem):
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load(file)
    assert str(raised.value).startswith(f"{file}: {problem}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["a", "Lab-7.example", "xn--mnchen-3ya.example", "10.0.0.7", "2001:db8::7", "4.example"]
)
def test_certificate_names_that_are_accepted(file, name):
    file.write_text(f'[server]\ncertificate_names = ["{name}"]')
    assert load(file).server.certificate_names == (name,)


@pytest.mark.parametrize("proxy", ["", "proxy.example:3128", "http://u:p%40w@[::1]:3128/"])
def test_proxy_urls_that_are_accepted(file, proxy):
    file.write_text(f'[fetch]\nproxy = "{proxy}"\nno_proxy = [".lab", "10.0.0.0/8", "*"]')
    assert load(file).fetch.proxy == proxy


def test_the_fingerprint_holds_no_password(file):
    """Otherwise a client that sees it could test passwords against it."""

    def fingerprint(proxy):
        file.write_text(f'[fetch]\nproxy = "{proxy}"')
        return fingerprint_of(load(file))

    assert fingerprint("http://u:one@p:1") == fingerprint("http://u:two@p:1")
    assert fingerprint("http://u:one@p:1") != fingerprint("http://u:one@p:2")


def test_a_key_with_a_line_end_still_gives_one_line(file):
    file.write_text('[server]\n"a\\nb" = 1')
    with pytest.raises(ConfigurationError) as raised:
        load(file)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(file):
    with pytest.raises(ConfigurationError) as raised:
        load(file)
    assert str(raised.value) == f"{file}: No such file or directory"


def test_a_file_that_is_not_utf_8_is_refused(file):
    file.write_bytes(b"# \xff\n")
    with pytest.raises(ConfigurationError, match="is not UTF-8: byte 2"):
        load(file)


@pytest.fixture
def token(file):
    path = file.with_name("token")
    path.touch(mode=0o600)
    file.write_text(f'[metrics]\ntoken_file = "{path}"')
    return path


def test_a_token_is_read_without_surrounding_blanks(file, token):
    token.write_text("  0123456789/abcd=\r\n\n")
    assert metrics_token(load(file)) == "0123456789/abcd="


def test_without_a_file_there_is_no_token():
    assert metrics_token(Settings()) is None


@pytest.mark.parametrize(
    "content",
    ["", "\n", "0123456789abcde", "0123456789 abcdef", "0123456789abcdef\nmore", "ü" * 20],
)
def test_a_bad_token_is_refused_and_not_quoted(file, token, content):
    token.write_text(content, encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r"metrics\.token_file: .* holds no token"
    ) as raised:
        load(file)
    assert "0123456789" not in str(raised.value)


@pytest.mark.parametrize("mode", [0o604, 0o644])
def test_a_token_that_all_users_may_read_is_refused(file, token, mode):
    token.write_text("0123456789abcdef")
    token.chmod(mode)
    with pytest.raises(
        ConfigurationError, match=r"metrics\.token_file: .* is readable for all users"
    ):
        load(file)
    token.chmod(0o640)
    load(file)


def test_a_token_file_that_is_removed_after_the_check_is_named(file, token):
    token.write_text("0123456789abcdef")
    settings = load(file)
    token.unlink()
    with pytest.raises(ConfigurationError, match=r"metrics\.token_file: .* is not a readable file"):
        metrics_token(settings)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[metrics]\ntoken_file = "token"', "metrics.token_file: 'token' is not an absolute path"),
        ('[metrics]\ntoken_file = "/"', "metrics.token_file: '/' is not a readable file"),
        ('[log]\nformat = "xml"', "log.format: Invalid enum value 'xml'"),
    ],
)
def test_bad_values_of_metrics_and_log(file, text, problem):
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load(file)
    assert str(raised.value) == f"{file}: {problem}"


def test_the_example_holds_the_defaults():
    assert load(EXAMPLE) == Settings()


def test_the_example_holds_every_key():
    # Keys without a default are in the example as comments.
    optional = {("server", "certificate"), ("server", "key")}
    optional |= {("fetch", "ca_file"), ("fetch", "proxy"), ("fetch", "no_proxy")}
    optional |= {("metrics", "token_file")}
    text = EXAMPLE.read_text()
    given = {(section, key) for section, table in tomllib.loads(text).items() for key in table}
    assert given == keys() - optional
    for _, key in optional:
        assert f"\n# {key} = " in text


def test_the_table_has_a_row_for_every_key():
    rows = [line.split(" | ") for line in reference().splitlines()[2:]]
    assert {row[0].strip("| `") for row in rows} == {".".join(key) for key in keys()}
    assert "| `server.port` | integer, 0 to 65535 | `8443` | TCP port; 0: any free port. |" in (
        reference()
    )


TOML_PARTS = st.sampled_from(
    [
        *("[server]\n", "[fetch]\n", "[upgrade]\n", "[metrics]\n", "[slots]\n", "[[server]]\n"),
        *("port = ", "certificate = ", "key = ", "plain_http = ", "trusted_proxies = ", "proxy = "),
        *("no_proxy = ", "allow = ", "ca_file = ", "token_file = ", "test_hooks = ", "count = "),
        *("directory = ", "reboot_command = ", "backoff_initial_s = ", "connect_timeout_s = "),
        *(
            "nan\n",
            "-inf\n",
            "inf\n",
            "1e400\n",
            "0x_\n",
            "9" * 5000 + "\n",
            "1979-05-27\n",
            "{}\n",
        ),
        *('"/\\u0000"\n', '"/dev/null"\n', '"/dev"\n', '"/proc/self/mem"\n', '"\\ud800"\n', '""\n'),
        *('["", "x"]\n', '["::1/0"]\n', "[[]]\n", "[" * 3000, "{a=" * 3000, '"http://[::1"\n'),
        *(
            '"http://\\u0661:x@h:1"\n',
            '["*", "."]\n',
            "true\n",
            "\r",
            "\x00",
            "\ufeff",
            "'''",
            "a.b.",
        ),
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        "[server]\nport = " + "9" * 5000,
        "[server]\nport = 0x" + "f" * 5000,
        "a = " + "[" * 5000,
        "a = " + "{a = " * 5000,
        "a = " + "[" * 5000 + "]" * 5000,
        "a" + ".a" * 5000 + " = 1",
        "[fetch]\nconnect_timeout_s = nan",
        "[fetch]\nbackoff_limit_s = nan",
        '[server]\ncertificate = "/\\u0000"\nkey = "/\\u0000"',
        '[metrics]\ntoken_file = "/\\u0000"',
        '[metrics]\ntoken_file = "/dev"',
        '[fetch]\nca_file = "/\\u0000"',
        '[fetch]\nproxy = "http://[::1"',
        '[fetch]\nproxy = "http://h:\u0661"',
        '[server]\ntrusted_proxies = ["0.0.0.0/0"]',
        '[server]\ntrusted_proxies = ["::/0"]',
        '[server]\ntrusted_proxies = ["proxy.example"]',
    ],
)
def test_what_cannot_be_used_is_an_error_of_the_configuration(file, text):
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


@hypothesis.settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TOML_PARTS | st.text(max_size=5), max_size=8).map("".join) | st.binary(max_size=99))
def test_no_file_raises_another_error(file, content):
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    with suppress(ConfigurationError):
        assert isinstance(load(file), Settings)
