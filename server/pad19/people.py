"""What a route author imports to let people in: see `pad19.dispatch.people`."""

from .dispatch.people import let_in

__all__ = ["let_in"]
