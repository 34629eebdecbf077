{{ config(unique_key='order_item_id', incremental_strategy='delete+insert') }}

with

order_items as (

    select * from {{ ref('stg_order_items') }}

),

loaded as (

    select * from order_items
    {{ where_loaded_since() }}
    {{ newest_version(['order_item_id'], ['_loaded_at desc', 'created_at desc nulls last']) }}

),

with_moved as (

    select * from loaded
    {{ left_behind('loaded', 'order_item_id', 'order_id') }}

)

select * from with_moved
