{%- set known = as_built('int_orders_joined') -%}

with

touched_orders as (

    select * from {{ ref('int_touched_orders') }}

),

first_orders as (

    select * from {{ ref('int_first_orders') }}

),

touched_customers as (

    select distinct customer_id
    from touched_orders
    where customer_id is not null

),

-- an order that is somebody's first now, or was it, changes with the customer's other orders
changed as (

    select order_id from touched_orders
    union
    select order_id
    from first_orders
    where customer_id in (select touched_customers.customer_id from touched_customers)
    {%- if known %}
    union
    select order_id
    from {{ known }}
    where is_first_order and customer_id in (select touched_customers.customer_id from touched_customers)
    {%- endif %}
    {{- noticed_before('order_id') }}

)

select
    order_id,
    {{ build_number() }} as build_number
from changed
