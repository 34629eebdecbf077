{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_changed('order_id', ref('int_touched_orders'), where='is_order_changed') }}",
    )
}}

with

orders as (

    select * from {{ ref('stg_orders') }}
    {{ of_touched('raw_orders', 'order_id', ref('int_touched_orders'), 'is_order_changed') }}

)

select * from orders
