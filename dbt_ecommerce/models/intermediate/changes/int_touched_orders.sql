{%- set known, facts = as_built('int_orders_joined'), as_built('fct_orders') -%}
{%- set differs = is_out_of_step(known, source('postgres', 'raw_orders'), 'order_id', changed_since('raw_orders'))
    or differ_in_rows(facts, known) -%}
{%- set out_of_step = [known, facts] if differs else [] %}

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

touched as (

    select order_id
    from orders
    where {{ is_loaded_since('raw_orders') }}
    union
    select order_id from touched_order_items
    union
    select order_id from touched_charges
    {%- for table in out_of_step if table %}
    union
    select order_id
    from {{ table }}
    where order_id not in (select orders.order_id from orders)
    union
    select order_id
    from orders
    where order_id not in (select known.order_id from {{ table }} as known)
    {%- endfor %}

),

-- with the customer that an order has now, and the one it had
with_customers as (

    select
        order_id,
        cast(null as integer) as customer_id
    from touched
    union
    select
        order_id,
        customer_id
    from orders
    {%- if out_of_step %}
    where order_id in (select touched.order_id from touched)
    {%- else %}
    where {{ is_loaded_since('raw_orders') }}
    {%- endif %}
    {%- if known %}
    union
    select
        order_id,
        customer_id
    from {{ known }}
    where order_id in (select touched.order_id from touched)
    {%- endif %}
    {{- noticed_before('order_id, customer_id') }}

)

select
    order_id,
    customer_id,
    {{ build_number() }} as build_number
from with_customers
where order_id is not null
