-- What failed in the last 7 days, by DAG, task, day and try, with Snowflake's words for it.
select
    start_time,
    try_parse_json(query_tag):dag::varchar as dag,
    try_parse_json(query_tag):task::varchar as task,
    try_parse_json(query_tag):day::varchar as day,
    try_parse_json(query_tag):try::varchar as try_number,
    error_code,
    error_message,
    left(query_text, 200) as query
from snowflake.account_usage.query_history
where
    start_time >= dateadd('day', -7, current_timestamp())
    and execution_status = 'FAIL'
    and try_parse_json(query_tag):app::varchar = 'ecommerce_pipeline'
order by start_time desc;
