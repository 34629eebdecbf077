{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        pre_hook="{{ delete_changed('order_id', ref('int_touched_orders'), where='is_order_changed') }}",
    )
}}

{%- set changed, touched_orders = is_loaded_since('raw_orders'), ref('int_touched_orders') -%}
{#- looking orders up by key reads all of them, and hardly ever is one lost -#}
{%- if has_rows(touched_orders, 'is_lost') -%}
    {%- set changed = changed ~ ' or order_id in (select order_id from ' ~ touched_orders ~ ' where is_lost)' -%}
{%- endif %}

with

orders as (

    select * from {{ ref('stg_orders') }}
    {%- if is_incremental() %}
    where {{ changed }}
    {%- endif %}

)

select * from orders
