"""Static files: private keys are none."""

from pathlib import Path

import pytest

from content.pages import get, page
from pad19.content.static import SEARCHED, SMALL, StaticFiles
from pad19.protocol.response import Success
from support.disk import descriptors
from support.files import write

KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("name", "text", "served"),
    [
        ("localhost.key", KEY, False),
        ("old/localhost.pem", "Bag Attributes\n" + KEY.replace("PRIVATE", "EC PRIVATE"), False),
        ("windows.key", KEY.replace("\n", "\r\n"), False),
        ("key", KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"), False),
        ("both.txt", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n" + KEY, False),
        ("certificate.crt", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n", True),
        ("lesson.gmi", "This is what a key looks like:\n```\n" + KEY + "```\n", True),
        ("talk.key", "a presentation", True),
        ("large.pem", KEY + "text\n" * SMALL, False),
        ("large.txt", "text\n" * 16000 + KEY.replace("PRIVATE", "EC PRIVATE"), False),
        ("large.bin", "\0\n" * SMALL + KEY, False),
        ("last.txt", "text!\n" * (SEARCHED // 6 - 10) + KEY, False),
        ("larger.txt", "text!\n" * (SEARCHED // 6) + KEY, True),  # this far, nobody looks
        ("large.gmi", "A long lesson.\n" * SMALL + KEY, True),
        ("large.key", "-----BEGIN CERTIFICATE-----\nMII\n" * SMALL, True),
        ("words.txt", "He wrote -----BEGIN PRIVATE KEY----- at the top.\n" * SMALL, True),
    ],
)
async def test_private_keys_are_not_served(
    name: str, text: str, served: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As they would be when the folder above the content is served by mistake."""
    write(tmp_path, {name: text})
    files = StaticFiles(tmp_path)
    before = descriptors()
    for _ in range(2):
        if not served:
            assert await page(files, f"/{name}") == "51"
            continue
        response = await get(files, f"/{name}")
        assert isinstance(response, Success)
        if not isinstance(response.body, bytes):
            assert b"".join([bytes(chunk) async for chunk in response.body]) == text.encode()
            await response.body.aclose()
    assert descriptors() == before
    assert [entry.getMessage() for entry in caplog.records] == (
        [] if served else [f"'{tmp_path}/{name}' holds a private key and is not served: move it away"]
    )
