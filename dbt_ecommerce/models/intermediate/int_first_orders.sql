{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_changed('customer_id', ref('int_touched_orders')) }}",
    )
}}

with

orders as (

    select * from {{ ref('int_orders_cleaned') }}

),

touched_orders as (

    select * from {{ ref('int_touched_orders') }}

),

numbered as (

    select
        customer_id,
        order_id,
        row_number() over (partition by customer_id order by ordered_at, order_id) as order_number
    from orders
    where
        not is_cancelled
        and customer_id is not null
        {%- if is_incremental() %}
        and customer_id in (select touched_orders.customer_id from touched_orders)
        {%- endif %}

),

first_orders as (

    select
        customer_id,
        order_id
    from numbered
    where order_number = 1

)

select * from first_orders
