{{ config(unique_key='customer_id', incremental_strategy='delete+insert') }}

with

customers as (

    select * from {{ ref('stg_customers') }}

),

loaded as (

    select * from customers
    {{ where_loaded_since() }}
    {{ newest_version(['customer_id'], ['_loaded_at desc', 'updated_at desc nulls last']) }}

)

select * from loaded
