-- The calendar has each day from its first to its last exactly once.
select
    min(date_day) as first_day,
    max(date_day) as last_day,
    count(*) as day_count
from {{ ref('dim_dates') }}
having count(*) <> {{ dbt.datediff('min(date_day)', 'max(date_day)', 'day') }} + 1
