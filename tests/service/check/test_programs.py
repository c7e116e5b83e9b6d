from pathlib import Path

from pad19.service.check.programs import check_programs


def test_programs(tmp_path: Path) -> None:
    programs = {
        "fine.sh": (0o755, "#!/bin/sh\n"),
        "crlf.sh": (0o755, "#!/bin/sh\r\n"),
        "deep/down.sh": (0o755, "echo\n"),
        "data.txt": (0o644, "text"),
        "still.sh": (0o644, "#!/bin/sh\n"),
        ".hidden.sh": (0o755, "echo"),
        ".git/hook": (0o755, "echo"),
    }
    for name, (mode, text) in programs.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    (tmp_path / "nowhere").symlink_to("none")
    found = [
        (Path(each.path).relative_to(tmp_path).as_posix(), each.line, each.text, each.is_note)
        for each in sorted(check_programs(tmp_path))
    ]
    answered = "as it is, it is answered with 42"
    assert found == [
        (
            "crlf.sh",
            1,
            f"its #! line ends in CR and LF: save it with the line ends of Unix; {answered}",
            False,
        ),
        (
            "deep/down.sh",
            1,
            f"it has no #! line: write for example #!/usr/bin/env python3 as the first; {answered}",
            False,
        ),
        (
            "still.sh",
            0,
            "it is not executable, so it is answered with 51: chmod +x changes that",
            True,
        ),
    ]


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    assert [*check_programs(tmp_path / "none")] == []
