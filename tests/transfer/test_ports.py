"""The names of partials' directories."""

from uuid import UUID

import pytest

from spsd.transfer.ports import download_key, parse_staging_key, upload_key

DIGEST = "ab" * 32
UPLOAD = UUID("12345678-1234-5678-1234-567812345678")


def test_a_download_is_named_by_its_digest_and_an_upload_by_itself():
    assert download_key(DIGEST) == DIGEST
    assert upload_key(UPLOAD) == f"upload-{UPLOAD}"


@pytest.mark.parametrize("name", [DIGEST, f"upload-{UPLOAD}"])
def test_names_of_partials(name):
    assert parse_staging_key(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        DIGEST[:-1],
        DIGEST + "a",
        DIGEST.upper(),
        f"{DIGEST}\n",
        f"x{DIGEST}",
        "lost+found",
        str(UPLOAD),
        f"upload-{UPLOAD}x",
        f"upload-{UPLOAD}\n",
        f"upload-{UPLOAD.hex}",
        "upload-",
        "\uff10" * 64,
    ],
)
def test_names_of_other_directories(name):
    assert parse_staging_key(name) is None
