"""Run these with `pytest`. `pad19_client` asks the capsule as a visitor would, without a server."""

from pad19.testing import SyncClient


def test_it_asks_for_a_name(pad19_client: SyncClient) -> None:
    answer = pad19_client.get("/hello/")
    assert (answer.status, answer.meta) == (10, "What is your name?")


def test_it_greets(pad19_client: SyncClient) -> None:
    answer = pad19_client.get("/hello/", "Ada Lovelace")
    assert answer.status == 20
    assert answer.text.startswith("# Hello, Ada Lovelace!\n")


def test_a_name_cannot_become_a_link(pad19_client: SyncClient) -> None:
    answer = pad19_client.get("/hello/", "Eve\n=> gemini://example.org/ Click here")
    assert "\n=> gemini://example.org/" not in answer.text
