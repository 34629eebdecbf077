-- Credits of the last 30 days by DAG and task, from the tag on every query; the rest is what nobody tagged. Up to 6 hours late.
with queries as (
    select
        coalesce(try_parse_json(query_tag):dag::varchar, 'shell or other') as dag,
        coalesce(try_parse_json(query_tag):task::varchar, query_tag) as task,
        try_parse_json(query_tag):day::varchar as day,
        credits_attributed_compute + coalesce(credits_used_query_acceleration, 0) as credits
    from snowflake.account_usage.query_attribution_history
    where start_time >= dateadd('day', -30, current_timestamp())
)

select
    dag,
    task,
    count(distinct day) as days,
    count(*) as queries,
    round(sum(credits), 4) as credits,
    round(100 * ratio_to_report(sum(credits)) over (), 1) as percent
from queries
group by dag, task
order by credits desc;
