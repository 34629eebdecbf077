"""The ground floor, what all the pipeline agrees on: contracts, days, errors, records, settings."""
