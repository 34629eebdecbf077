{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_changed('order_id', ref('int_changed_orders')) }}",
    )
}}

with

order_items as (

    select * from {{ ref('int_order_items_cleaned') }}

),

changed_orders as (

    select * from {{ ref('int_changed_orders') }}

),

wanted as (

    select * from order_items
    {{ of_changed('order_id', 'changed_orders') }}

),

summed as (

    select
        order_id,
        count(*) as item_count,
        cast(sum(quantity) as bigint) as unit_count,
        cast(sum(quantity * unit_price) as decimal(18, 2)) as list_amount,
        cast(sum(line_total) as decimal(18, 2)) as lines_total,
        max(_loaded_at) as _loaded_at
    from wanted
    where order_id is not null
    group by order_id

)

select
    *,
    {{ build_number() }} as _build_number
from summed
