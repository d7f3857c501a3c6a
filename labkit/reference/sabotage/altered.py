"""A schema that is installed as it is, and then altered by whoever owns it."""

from __future__ import annotations

from typing import ClassVar

from labkit.reference.data.schema import Schema
from labkit.services.endpoints import Lease


class AlteredSchema(Schema):
    """The platform's schema with one alteration on top; harmless twice."""

    alteration: ClassVar[str]
    """SQL that is executed as the owner of the tables."""

    async def install(self, lease: Lease) -> None:
        """Make the schema in the leased database, and alter it."""
        await super().install(lease)
        async with self._owner(lease) as owner:
            await owner.execute(self.alteration)
