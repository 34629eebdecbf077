{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='order_id',
        on_schema_change='append_new_columns',
        post_hook="{{ delete_vanished('order_id', ref('stg_order_items'), 'order_id is not null') }}",
    )
}}

with

order_items as (

    select * from {{ ref('stg_order_items') }}

),

summed as (

    select
        order_id,
        count(*) as item_count,
        cast(sum(quantity) as bigint) as unit_count,
        cast(sum(quantity * unit_price) as decimal(18, 2)) as list_amount,
        cast(sum(line_total) as decimal(18, 2)) as lines_total,
        max(_loaded_at) as _loaded_at
    from order_items
    where order_id is not null
    group by order_id

)

select summed.*
from summed

{% if is_incremental() %}

left join {{ this }} as known
    on summed.order_id = known.order_id
where {{ is_new_or_changed('summed', 'known', 'order_id', ['_loaded_at', 'item_count']) }}

{% endif %}
