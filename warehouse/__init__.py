"""The warehouse: one algorithm, and a folder per engine that says how the engine differs.

``open_warehouse()`` gives the configured one, DuckDB (embedded default) or Snowflake. How a load
goes is in ``warehouse.load``; what else a warehouse does, in ``warehouse.base``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warehouse.base import Warehouse
    from warehouse.load import Load
    from warehouse.settings import WarehouseSettings

__all__ = ["Load", "Warehouse", "open_warehouse"]


def open_warehouse(settings: WarehouseSettings | None = None) -> Warehouse:
    """The warehouse that ``WAREHOUSE_KIND`` names. Loads the driver of that engine only."""
    from pipeline.settings import settings as configured
    from warehouse.settings import WarehouseSettings

    settings = settings or configured(WarehouseSettings)
    if settings.kind == "snowflake":
        from warehouse.snowflake.settings import SnowflakeSettings
        from warehouse.snowflake.warehouse import SnowflakeWarehouse

        return SnowflakeWarehouse(configured(SnowflakeSettings))
    from warehouse.duckdb.warehouse import DuckDBWarehouse

    return DuckDBWarehouse(settings)


def __getattr__(name: str) -> type[Load] | type[Warehouse]:
    """``Load`` and ``Warehouse`` on first use: settings are read where Arrow is not needed."""
    if name == "Load":
        from warehouse.load import Load

        return Load
    if name == "Warehouse":
        from warehouse.base import Warehouse

        return Warehouse
    raise AttributeError(name)
