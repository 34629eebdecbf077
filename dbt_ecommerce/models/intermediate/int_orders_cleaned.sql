{{ config(unique_key='order_id', incremental_strategy='delete+insert') }}

with

orders as (

    select * from {{ ref('stg_orders') }}

),

loaded as (

    select * from orders
    {{ where_loaded_since() }}
    {{ newest_version(['order_id'], ['_loaded_at desc', 'updated_at desc nulls last']) }}

),

with_moved as (

    select * from loaded
    {{ left_behind('loaded', 'order_id', 'customer_id') }}

)

select * from with_moved
