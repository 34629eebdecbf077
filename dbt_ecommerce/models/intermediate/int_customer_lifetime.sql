{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_changed('customer_id', ref('int_changed_customers')) }}",
    )
}}

with

orders as (

    select * from {{ ref('int_orders_joined') }}

),

changed_customers as (

    select * from {{ ref('int_changed_customers') }}

),

wanted as (

    select * from orders
    {{ of_changed('customer_id', 'changed_customers') }}

),

lifetime as (

    select
        customer_id,
        cast(sum(case when is_cancelled then 0 else 1 end) as bigint) as order_count,
        cast(sum(case when is_cancelled then 1 else 0 end) as bigint) as cancelled_order_count,
        cast(sum(gross_revenue) as decimal(18, 2)) as gross_revenue,
        cast(sum(revenue_refund_amount) as decimal(18, 2)) as refunded_amount,
        cast(sum(net_revenue) as decimal(18, 2)) as net_revenue,
        min(ordered_at) as first_ordered_at,
        max(ordered_at) as last_ordered_at,
        max(last_changed_at) as last_changed_at,
        max(_loaded_at) as _loaded_at
    from wanted
    where customer_id is not null
    group by customer_id

)

select
    *,
    {{ build_number() }} as _build_number
from lifetime
