"""What a route author imports to let people in: see `pad19.dispatch.zones.people`."""

from .dispatch.zones.people import let_in

__all__ = ["let_in"]
