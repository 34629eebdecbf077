-- Credits by virtual warehouse and day of the last 30 days: what the bill is made of.
select
    warehouse_name,
    start_time::date as day,
    round(sum(credits_used), 3) as credits,
    round(sum(credits_used_cloud_services), 3) as of_cloud_services
from snowflake.account_usage.warehouse_metering_history
where start_time >= dateadd('day', -30, current_timestamp())
group by warehouse_name, day
order by day desc, warehouse_name;
