{%- set raw = source('postgres', 'raw_order_items') -%}
{%- set known = as_built('fct_order_items') -%}
{%- set differs = is_out_of_step(known, raw, 'order_item_id', changed_since('raw_order_items')) -%}

with

order_items as (

    select * from {{ ref('stg_order_items') }}

),

loaded as (

    select
        order_item_id,
        order_id
    from order_items
    where {{ is_loaded_since('raw_order_items') }}

),

-- with the order that a line has now, and the one it had
touched as (

    select
        order_item_id,
        order_id
    from loaded
    {%- if known %}
    union
    select
        order_item_id,
        order_id
    from {{ known }}
    where order_item_id in (select loaded.order_item_id from loaded)
    {%- endif %}
    {%- if differs %}
    union
    select
        order_item_id,
        order_id
    from {{ known }}
    where order_item_id not in (select order_items.order_item_id from order_items)
    union
    select
        order_item_id,
        order_id
    from order_items
    where order_item_id not in (select known.order_item_id from {{ known }} as known)
    {%- endif %}
    {{- noticed_before('order_item_id, order_id') }}

)

select
    order_item_id,
    order_id,
    {{ build_number() }} as build_number
from touched
