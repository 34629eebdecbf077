{{ config(unique_key='customer_id') }}

with

orders as (

    select * from {{ ref('int_orders_joined') }}

),

wanted as (

    select
        *,
        row_number() over (
            partition by customer_id, is_cancelled order by ordered_at, order_id
        ) as order_number
    from orders
    {{ where_changed('customer_id') }}

),

lifetime as (

    select
        customer_id,
        max(case when order_number = 1 and not is_cancelled then order_id end) as first_order_id,
        cast(sum(case when is_cancelled then 0 else 1 end) as bigint) as order_count,
        cast(sum(case when is_cancelled then 1 else 0 end) as bigint) as cancelled_order_count,
        cast(sum(gross_revenue) as decimal(18, 2)) as gross_revenue,
        cast(sum(revenue_refund_amount) as decimal(18, 2)) as revenue_refund_amount,
        cast(sum(net_revenue) as decimal(18, 2)) as net_revenue,
        min(ordered_at) as first_ordered_at,
        max(ordered_at) as last_ordered_at,
        max(last_changed_at) as last_changed_at,
        max(_loaded_at) as _loaded_at
    from wanted
    where customer_id is not null
    group by customer_id

)

select * from lifetime
