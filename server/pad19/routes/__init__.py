"""Code to responses: what route authors declare, and the handler that it becomes."""
