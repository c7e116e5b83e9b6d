#!/bin/sh
# Who are you? A CGI program in shell that reads the visitor's certificate.

if [ -z "${TLS_CLIENT_HASH:-}" ]; then
    printf '60 Come with a certificate, and this page tells what it says\r\n'
    exit
fi

printf '20 text/gemini\r\n'
printf '# What your certificate says\n\n'
# The name is a stranger's text. As an argument of %s it is nothing but text, in quotes it is one word,
# without control characters it stays in its line, and behind "> " that line is a quotation.
printf '> %s\n\n' "$(printf '%s' "$TLS_CLIENT_SUBJECT_CN" | tr '[:cntrl:]' ' ')"
printf '* fingerprint: %s\n' "$TLS_CLIENT_HASH"
printf '* valid until: %s\n' "$TLS_CLIENT_NOT_AFTER"
printf '\n=> /examples.gmi All examples\n'
