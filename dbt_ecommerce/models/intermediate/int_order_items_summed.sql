{{ config(unique_key='order_id') }}

with

order_items as (

    select * from {{ ref('int_order_items_cleaned') }}

),

wanted as (

    select * from order_items
    {{ where_changed('order_id') }}

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
    where order_id is not null and not is_deleted
    group by order_id

)

select * from summed
