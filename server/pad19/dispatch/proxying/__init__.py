"""Other Gemini servers that answer below a path of ours."""
