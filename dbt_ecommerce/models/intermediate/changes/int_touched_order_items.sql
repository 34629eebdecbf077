{%- set known, facts = as_built('int_order_items_cleaned'), as_built('fct_order_items') -%}
{%- set differs = is_out_of_step(known, source('postgres', 'raw_order_items'), 'order_item_id', changed_since('raw_order_items'))
    or differ_in_keys(known, [facts], 'order_item_id') -%}
{%- set out_of_step = [known, facts] if differs else [] %}

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
        order_id,
        false as is_lost
    from loaded
    {%- if known %}
    union
    select
        order_item_id,
        order_id,
        false as is_lost
    from {{ known }}
    where order_item_id in (select loaded.order_item_id from loaded)
    {%- endif %}
    {%- for table in out_of_step if table %}
    union
    select
        order_item_id,
        order_id,
        false as is_lost
    from {{ table }}
    where order_item_id not in (select order_items.order_item_id from order_items)
    union
    select
        order_item_id,
        order_id,
        true as is_lost
    from order_items
    where
        order_item_id not in (select known.order_item_id from {{ table }} as known)
        and not ({{ is_loaded_since('raw_order_items') }})
    {%- endfor %}
    {{- noticed_before('order_item_id, order_id, is_lost') }}

)

select
    order_item_id,
    order_id,
    is_lost,
    {{ build_number() }} as build_number
from touched
