"""What visitors read when they do not get a page: the texts of the capsule, or of its language.

They stand in for what says the same to everybody: for a failure or a response without words, and for
pad19's own texts in `_OWN`. Whoever says more keeps that: a route's "no such entry", the fault in a
request, the id of an internal error.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from pad19.protocol.characters import CONTROLS, SEPARATORS
from pad19.protocol.client import Client
from pad19.protocol.failure import Failure
from pad19.protocol.request import Request
from pad19.protocol.response import MAX_META, Reply, Response
from pad19.protocol.status import Status
from pad19.protocol.titan import without_token

from .router import Handler

# Not 44, which comes with a number of seconds.
STATUSES = frozenset(status for status in Status if status >= 40) - {Status.SLOW_DOWN}
MAX_PATH = 256  # characters of a path that are repeated to who asked for it
_BEHIND = " ({fingerprint})"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_CONTROL = re.compile(f"[{CONTROLS}{SEPARATORS}]")
MAX_REASON = 200  # characters of our own words that are repeated
_LONGEST = {
    "path": "/" * MAX_PATH + "…",
    "fingerprint": f"sha256:{'0' * 64}",
    "reason": "x" * MAX_REASON,
}
MAX_TEXT = MAX_META - len(_BEHIND.format_map(_LONGEST))  # bytes with everything filled in

# As zones, policies, files and gateways say it. Texts about uploads are not here: "nobody may upload
# here" tells somebody who writes more than a text for readers would.
_OWN = frozenset(
    {
        "the file cannot be read now",
        "the pages cannot be read now",
        "the rules for this folder cannot be read now",
        "the script cannot be read now",
        "the list of who is let in cannot be read now, try again later",
        "too many open files, try again",
        "too many programs are running, try again",
        "the system is busy, try again",
        "the server behind this page is busy",
        "the program behind this page failed",
        "the program behind this page took too long",
        "the server behind this page failed",
        "the server behind this page took too long",
        "nobody may read this",
        "this page needs a client certificate",
        "this part of the capsule needs a client certificate: any will do",
        "this part of the capsule needs a client certificate: one that its owner knows",
        "your certificate is not let in here: {fingerprint}",
        "your certificate is not on the list: {fingerprint}",
        "your certificate is not on the list; to be let in, send its fingerprint to the owner of this "
        "capsule: {fingerprint}",
    }
)

_TRANSLATIONS: dict[str, dict[Status, str]] = {
    "de": {
        Status.TEMPORARY_FAILURE: "das geht gerade nicht, bitte später noch einmal versuchen",
        Status.SERVER_UNAVAILABLE: "hier ist gerade zu viel los, bitte in einer Minute noch einmal versuchen",
        Status.CGI_ERROR: "das Programm hinter dieser Seite hat versagt",
        Status.PROXY_ERROR: "der Server hinter dieser Seite hat versagt",
        Status.PERMANENT_FAILURE: "das ist hier nicht möglich",
        Status.NOT_FOUND: "nicht gefunden",
        Status.GONE: "das gibt es nicht mehr",
        Status.PROXY_REQUEST_REFUSED: "Anfragen an andere Server werden hier nicht beantwortet",
        Status.BAD_REQUEST: "fehlerhafte Anfrage",
        Status.CLIENT_CERTIFICATE_REQUIRED: "hierfür ist ein Client-Zertifikat nötig",
        Status.CERTIFICATE_NOT_AUTHORISED: "dieses Zertifikat ist hier nicht zugelassen: {fingerprint}",
        Status.CERTIFICATE_NOT_VALID: "dieses Zertifikat ist nicht gültig ({reason})",
    },
    "fr": {
        Status.TEMPORARY_FAILURE: "impossible pour le moment, veuillez réessayer plus tard",
        Status.SERVER_UNAVAILABLE: "serveur occupé, veuillez réessayer dans une minute",
        Status.CGI_ERROR: "le programme derrière cette page a échoué",
        Status.PROXY_ERROR: "le serveur derrière cette page a échoué",
        Status.PERMANENT_FAILURE: "ce n'est pas possible ici",
        Status.NOT_FOUND: "page introuvable",
        Status.GONE: "cette page n'existe plus",
        Status.PROXY_REQUEST_REFUSED: "les requêtes pour d'autres serveurs sont refusées ici",
        Status.BAD_REQUEST: "requête incorrecte",
        Status.CLIENT_CERTIFICATE_REQUIRED: "un certificat client est nécessaire ici",
        Status.CERTIFICATE_NOT_AUTHORISED: "ce certificat n'est pas autorisé ici\xa0: {fingerprint}",
        Status.CERTIFICATE_NOT_VALID: "ce certificat n'est pas valide ({reason})",
    },
    "es": {
        Status.TEMPORARY_FAILURE: "no es posible en este momento, inténtelo más tarde",
        Status.SERVER_UNAVAILABLE: "el servidor está ocupado, inténtelo de nuevo en un minuto",
        Status.CGI_ERROR: "ha fallado el programa que está detrás de esta página",
        Status.PROXY_ERROR: "ha fallado el servidor que está detrás de esta página",
        Status.PERMANENT_FAILURE: "eso no es posible aquí",
        Status.NOT_FOUND: "página no encontrada",
        Status.GONE: "esta página ya no existe",
        Status.PROXY_REQUEST_REFUSED: "aquí no se aceptan peticiones para otros servidores",
        Status.BAD_REQUEST: "petición incorrecta",
        Status.CLIENT_CERTIFICATE_REQUIRED: "aquí se necesita un certificado de cliente",
        Status.CERTIFICATE_NOT_AUTHORISED: "este certificado no está autorizado aquí: {fingerprint}",
        Status.CERTIFICATE_NOT_VALID: "este certificado no es válido ({reason})",
    },
}


class Wording:
    """A handler in front of all others of a capsule, which gives their failures its texts."""

    def __init__(self, texts: Mapping[Status, str], inner: Handler) -> None:
        """``texts``: see `parse`; by what is in `STATUSES`."""
        self._texts = dict(texts)
        refused = self._texts.get(Status.CERTIFICATE_NOT_AUTHORISED)
        if refused is not None and "{fingerprint}" not in refused:
            # The owner needs it to let them in, and they may not know where to find it.
            self._texts[Status.CERTIFICATE_NOT_AUTHORISED] = refused + _BEHIND
        self._inner = inner

    async def __call__(self, request: Request) -> Response:
        """Let the other one answer.

        A failure that gets a text becomes a response: it may be of a class whose arguments only its
        author knows, and one object that is raised again and again.

        Raises:
            Failure: One that keeps its own words.
        """
        try:
            response = await self._inner(request)
        except Failure as failure:
            if failure.status not in self._texts or not _is_for_all(failure, request.client):
                raise
            return self.word(failure, request)
        if isinstance(response, Reply) and not response.meta.strip():
            text = self._texts.get(response.status)
            if text is not None:
                return replace(response, meta=_fill(text, request, response.status.phrase))
        return response

    def word(self, failure: Failure, request: Request) -> Response:
        """Give a failure the text for its status.

        Raises:
            Failure: The same one: there is no text for it.
        """
        text = self._texts.get(failure.status)
        if text is None:
            raise failure
        return Reply(failure.status, _fill(text, request, str(failure)))


def worded(failure: Failure, handler: Handler, request: Request) -> Response:
    """What a capsule says to a failure that comes before its handler is asked.

    Raises:
        Failure: The same one: the capsule has no text for it.
    """
    if not isinstance(handler, Wording):
        raise failure
    return handler.word(failure, request)


def texts_in(lang: str | None) -> Mapping[Status, str]:
    """What pad19 says in the first of these languages (``de-CH,fr``), if it is not English and known here."""
    language, *_ = re.split("[,-]", lang or "", maxsplit=1)
    return _TRANSLATIONS.get(language.lower(), {})


def parse(text: str) -> str:
    """Check a text: one line, in which ``{path}`` and ``{fingerprint}`` stand for those of the request.

    ``{reason}`` stands for what would be said without the text.

    Raises:
        ValueError: It is none; the message, if there is one, continues "it ...".
    """
    if not text.strip() or _CONTROL.search(text):
        raise ValueError
    if unknown := {*_PLACEHOLDER.findall(text)} - {*_LONGEST}:
        raise ValueError(
            f"must have {{path}}, {{fingerprint}} or {{reason}} in braces, not {{{min(unknown)}}}"
        )
    if len(_replace(text, _LONGEST).encode()) > MAX_TEXT:
        raise ValueError(
            f"must have at most {MAX_TEXT} bytes with the longest path, fingerprint and reason in it"
        )
    return text


def _is_for_all(failure: Failure, client: Client) -> bool:
    """Whether it says what pad19 says to everybody with this status."""
    said = str(failure)
    if said.strip() in {"", failure.status.phrase}:
        return True
    if client.fingerprint:
        said = said.replace(client.fingerprint, "{fingerprint}")
    return said in _OWN


def _fill(text: str, request: Request, reason: str) -> str:
    # Percent-encoded: whoever makes the link cannot put words of their own into the capsule's mouth.
    # And without the password of an upload, whose parameters are a part of it still.
    path = without_token(request.raw_path)
    if len(path) > MAX_PATH:
        path = f"{path[:MAX_PATH]}…"
    values = {"path": path, "fingerprint": request.client.fingerprint or "-", "reason": reason[:MAX_REASON]}
    return _replace(text, values)


def _replace(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)
