{{
    config(
        materialized='incremental',
        incremental_strategy=upsert(),
        unique_key='order_id',
        on_schema_change='append_new_columns',
        pre_hook="{{ delete_gone('order_id', ref('int_changed_orders'), ref('int_orders_joined')) }}",
    )
}}

with

orders as (

    select * from {{ ref('int_orders_joined') }}

),

customers as (

    select * from {{ ref('dim_customers') }}

),

changed_orders as (

    select * from {{ ref('int_changed_orders') }}

),

changed_customers as (

    select * from {{ ref('int_changed_customers') }}

),

-- a customer's new version may begin before an order that is there already
candidates as (

    select
        order_id,
        customer_id,
        ordered_at
    from orders
    {%- if is_incremental() %}
    where
        order_id in (select changed_orders.order_id from changed_orders)
        or customer_id in (select changed_customers.customer_id from changed_customers)
    {%- endif %}

),

versions as (

    select
        customer_key,
        customer_id,
        valid_from,
        valid_to
    from customers
    {{ of_changed('customer_id', 'candidates') }}

),

customer_of_order as (

    select
        candidates.order_id,
        versions.customer_key
    from candidates
    left join versions
        on
            candidates.customer_id = versions.customer_id
            and candidates.ordered_at >= versions.valid_from
            and (candidates.ordered_at < versions.valid_to or versions.valid_to is null)

),

{% if is_incremental() -%}
changed as (

    select order_id from changed_orders
    union
    select customer_of_order.order_id
    from customer_of_order
    left join {{ this }} as known
        on customer_of_order.order_id = known.order_id
    where customer_of_order.customer_key is distinct from known.customer_key

),

{% endif -%}

wanted as (

    select * from orders
    {{ of_changed('order_id', 'changed') }}

),

final as (

    select
        ---------- ids
        wanted.order_id,
        wanted.customer_id,
        customer_of_order.customer_key,

        ---------- text
        wanted.status,
        wanted.source_status,
        wanted.payment_status,
        wanted.shipping_address,
        wanted.shipping_city,
        wanted.shipping_state,
        wanted.shipping_country,
        wanted.shipping_zip,

        ---------- numerics
        wanted.item_count,
        wanted.unit_count,
        wanted.charge_count,
        wanted.refund_count,
        wanted.dispute_count,
        cast(wanted.total_amount as decimal(18, 2)) as total_amount,
        cast(wanted.list_amount as decimal(18, 2)) as list_amount,
        cast(wanted.lines_total as decimal(18, 2)) as lines_total,
        cast(wanted.discount_amount as decimal(18, 2)) as discount_amount,
        cast(wanted.gross_revenue as decimal(18, 2)) as gross_revenue,
        cast(wanted.captured_amount as decimal(18, 2)) as captured_amount,
        cast(wanted.refunded_amount as decimal(18, 2)) as refunded_amount,
        cast(wanted.revenue_refund_amount as decimal(18, 2)) as revenue_refund_amount,
        cast(wanted.disputed_amount as decimal(18, 2)) as disputed_amount,
        cast(wanted.lost_amount as decimal(18, 2)) as lost_amount,
        cast(wanted.net_revenue as decimal(18, 2)) as net_revenue,

        ---------- booleans
        wanted.is_cancelled,
        wanted.is_first_order,
        wanted.is_total_consistent,

        ---------- timestamps
        wanted.order_date,
        wanted.ordered_at,
        wanted.first_paid_at,
        wanted.created_at,
        wanted.updated_at,
        wanted._loaded_at
    from wanted
    left join customer_of_order
        on wanted.order_id = customer_of_order.order_id

)

select * from final
