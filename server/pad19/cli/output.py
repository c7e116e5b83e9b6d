"""Standard output for one body."""

import codecs
import errno
import io
import os
import re
import sys

import click

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all of C0, DEL and C1 but tab and line feed


class Output:
    """Bytes unchanged; on a terminal, text that can do it no harm.

    A terminal obeys control characters: they move the cursor over what was read, rename the
    window, answer for the user. There they are replaced, and line ends become line feeds.

    Raises:
        click.ClickException: The body is no text, and this a terminal; or standard output is closed
            or full.
        BrokenPipeError: Whoever reads it has seen enough, as `head` does. click ends this quietly.
    """

    def __init__(self, mimetype: str) -> None:
        if sys.stdout is None:  # `>&-`
            raise click.ClickException("standard output is closed")
        # Not by way of a buffer: what it could not write it would try again at exit, and complain.
        self._stream = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
        self._decoder: io.IncrementalNewlineDecoder | None = None
        if sys.stdout.isatty():
            if not mimetype.lower().startswith("text/"):
                raise click.ClickException(
                    f"a body of type {mimetype} is not shown on a terminal; send it elsewhere with > or |"
                )
            # Always UTF-8. For another charset, `pad19 get URL | iconv -f CHARSET` has the bytes.
            utf8 = codecs.getincrementaldecoder("utf-8")("replace")
            self._decoder = io.IncrementalNewlineDecoder(utf8, translate=True)

    def write(self, data: bytes) -> None:
        """Write it now, however little it is."""
        self._write(data if self._decoder is None else self._for_terminal(self._decoder.decode(data)))

    def finish(self) -> None:
        """Show what waited for more: a character that is cut short, a CR without its LF."""
        if self._decoder is not None:
            self._write(self._for_terminal(self._decoder.decode(b"", final=True)))

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                written = self._stream.write(left)
                if written is None:  # somebody made it non-blocking, and it is full
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                left = left[written:]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise click.ClickException(f"standard output cannot be written ({error.strerror})") from error

    def _for_terminal(self, text: str) -> bytes:
        return _CONTROL.sub(_harmless, text).encode(sys.stdout.encoding, "replace")


def _harmless(match: re.Match[str]) -> str:
    """The picture of a C0 control, such as ␛; C1 controls have none."""
    code = ord(match[0])
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"
