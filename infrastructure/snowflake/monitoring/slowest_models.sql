-- dbt's slowest models of the last 7 days; dbt names the model in a comment at the end of each query.
with queries as (
    select
        regexp_substr(query_text, '"node_id": "([^"]+)"', 1, 1, 'e') as node,
        total_elapsed_time / 1000 as seconds,
        bytes_scanned,
        bytes_spilled_to_local_storage + bytes_spilled_to_remote_storage as bytes_spilled,
        partitions_scanned / nullif(partitions_total, 0) as share_of_partitions
    from snowflake.account_usage.query_history
    where start_time >= dateadd('day', -7, current_timestamp()) and try_parse_json(query_tag):step::varchar = 'dbt'
)

select
    node,
    count(*) as queries,
    round(avg(seconds), 1) as average_seconds,
    round(max(seconds), 1) as longest_seconds,
    round(sum(bytes_scanned) / 1e9, 2) as gb_scanned,
    round(sum(bytes_spilled) / 1e9, 2) as gb_spilled,
    round(avg(share_of_partitions), 2) as share_of_partitions
from queries
where node is not null
group by node
order by sum(seconds) desc
limit 20;
