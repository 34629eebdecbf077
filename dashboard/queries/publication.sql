-- Which publication this is, for which day, and what its tests said. Times are UTC.
select
    publication_id,
    day,
    published_at,
    tested_at,
    tests_passed,
    tests_warned
from published.publication
