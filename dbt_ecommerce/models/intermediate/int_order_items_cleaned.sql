{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_changed('order_item_id', ref('int_touched_order_items')) }}",
    )
}}

with

order_items as (

    select * from {{ ref('stg_order_items') }}
    {{ of_touched('raw_order_items', 'order_item_id', ref('int_touched_order_items')) }}

)

select * from order_items
