{{ config(materialized='incremental', unique_key='order_id') }}

{%- set changed_orders, changed_customers = changed_keys('order_id'), changed_keys('customer_id') %}

with

orders as (

    select * from {{ ref('int_orders_joined') }}

),

versions as (

    select
        customer_key,
        customer_id,
        valid_from,
        valid_to
    from {{ ref('dim_customers') }}

),

lifetime as (

    select
        customer_id,
        first_order_id
    from {{ ref('int_customer_lifetime') }}

),

wanted as (

    select * from orders
    {%- if is_incremental() %}
    where
        order_id in ({{ changed_orders }})
        -- a new version of a customer may begin before orders that did not change;
        -- another order may be the first
        or order_id in (
            select known.order_id
            from {{ this }} as known
            left join versions
                on {{ is_version_of_order('versions', 'known') }}
            left join lifetime
                on known.customer_id = lifetime.customer_id
            where
                known.customer_id in ({{ changed_customers }})
                and (
                    versions.customer_key is distinct from known.customer_key
                    or coalesce(known.order_id = lifetime.first_order_id, false)
                    <> known.is_first_order
                )
        )
    {%- endif %}

),

final as (

    select
        ---------- ids
        orders.order_id,
        orders.customer_id,
        versions.customer_key,

        ---------- text
        orders.status,
        orders.source_status,
        orders.payment_status,
        orders.shipping_address,
        orders.shipping_city,
        orders.shipping_state,
        orders.shipping_country,
        orders.shipping_zip,

        ---------- numerics
        orders.item_count,
        orders.unit_count,
        orders.charge_count,
        orders.refund_count,
        orders.dispute_count,
        cast(orders.total_amount as decimal(18, 2)) as total_amount,
        cast(orders.list_amount as decimal(18, 2)) as list_amount,
        cast(orders.lines_total as decimal(18, 2)) as lines_total,
        cast(orders.discount_amount as decimal(18, 2)) as discount_amount,
        cast(orders.gross_revenue as decimal(18, 2)) as gross_revenue,
        cast(orders.captured_amount as decimal(18, 2)) as captured_amount,
        cast(orders.refunded_amount as decimal(18, 2)) as refunded_amount,
        cast(orders.revenue_refund_amount as decimal(18, 2)) as revenue_refund_amount,
        cast(orders.disputed_amount as decimal(18, 2)) as disputed_amount,
        cast(orders.lost_amount as decimal(18, 2)) as lost_amount,
        cast(orders.net_revenue as decimal(18, 2)) as net_revenue,

        ---------- booleans
        orders.is_cancelled,
        coalesce(orders.order_id = lifetime.first_order_id, false) as is_first_order,
        orders.is_total_consistent,
        orders.is_future_dated,

        ---------- timestamps
        orders.order_date,
        orders.ordered_at,
        orders.first_paid_at,
        orders.created_at,
        orders.updated_at,
        orders._loaded_at
    from wanted as orders
    left join versions
        on {{ is_version_of_order('versions', 'orders') }}
    left join lifetime
        on orders.customer_id = lifetime.customer_id

)

select * from final
