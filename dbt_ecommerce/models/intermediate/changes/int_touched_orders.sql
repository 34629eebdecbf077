{%- set known, joined, facts = as_built('int_orders_cleaned'), as_built('int_orders_joined'), as_built('fct_orders') -%}
{%- set differs = is_out_of_step(known, source('postgres', 'raw_orders'), 'order_id', changed_since('raw_orders'))
    or differ_in_keys(known, [joined, facts], 'order_id') -%}
{%- set out_of_step = [known, joined, facts] if differs else [] %}

with

orders as (

    select * from {{ ref('stg_orders') }}

),

touched_order_items as (

    select * from {{ ref('int_touched_order_items') }}

),

touched_charges as (

    select * from {{ ref('int_touched_charges') }}

),

noticed as (

    select
        order_id,
        customer_id,
        true as is_order_changed,
        false as is_lost
    from orders
    where {{ is_loaded_since('raw_orders') }}
    union
    select
        order_id,
        cast(null as integer) as customer_id,
        false as is_order_changed,
        false as is_lost
    from touched_order_items
    union
    select
        order_id,
        cast(null as integer) as customer_id,
        false as is_order_changed,
        false as is_lost
    from touched_charges
    {%- for table in out_of_step if table %}
    union
    select
        order_id,
        customer_id,
        true as is_order_changed,
        false as is_lost
    from {{ table }}
    where order_id not in (select orders.order_id from orders)
    union
    select
        order_id,
        customer_id,
        true as is_order_changed,
        true as is_lost
    from orders
    where order_id not in (select known.order_id from {{ table }} as known) and not ({{ is_loaded_since('raw_orders') }})
    {%- endfor %}

),

-- with the customer that an order has now, and the one it had
touched as (

    select
        order_id,
        customer_id,
        is_order_changed,
        is_lost
    from noticed
    {%- if known %}
    union
    select
        known.order_id,
        known.customer_id,
        noticed.is_order_changed,
        noticed.is_lost
    from {{ known }} as known
    inner join noticed
        on known.order_id = noticed.order_id
    {%- endif %}
    {{- noticed_before('order_id, customer_id, is_order_changed, is_lost') }}

)

select
    order_id,
    customer_id,
    is_order_changed,
    is_lost,
    {{ build_number() }} as build_number
from touched
where order_id is not null
