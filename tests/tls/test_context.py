from support.tls import memory_pair, self_signed, server_contexts


async def test_the_certificate_is_chosen_by_server_name() -> None:
    contexts = server_contexts("one.test", "two.test", "*.three.test")
    for name, common_name in [
        ("two.test", "two.test"),
        ("TWO.test", "two.test"),
        ("a.three.test", "*.three.test"),
        ("a.b.three.test", "one.test"),
        ("unknown.test", "one.test"),
        ("", "one.test"),
    ]:
        client, _ = await memory_pair(server_name=name, contexts=contexts)
        certificate = client.peer_certificate
        assert certificate is not None
        assert certificate == self_signed(common_name).certificate
