"""The ground floor: what all of the pipeline agrees on: contracts, days, errors, records,
settings.
"""
