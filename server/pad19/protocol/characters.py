"""Characters that move cursors, end lines or are no text: ranges for the sets of regular expressions."""

CONTROLS = r"\x00-\x1f\x7f-\x9f"  # C0, DEL and C1
SEPARATORS = r"\u2028\u2029"  # of lines and paragraphs
SURROGATES = r"\ud800-\udfff"  # halves of characters, which UTF-8 cannot express
