"""PostgreSQL: tables of the shop's database, read by windows of change."""
