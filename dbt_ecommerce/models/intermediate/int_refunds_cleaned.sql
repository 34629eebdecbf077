{{ config(unique_key='refund_id', incremental_strategy='delete+insert') }}

with

refunds as (

    select * from {{ ref('stg_refunds') }}

),

loaded as (

    select * from refunds
    {{ where_loaded_since() }}
    {{ newest_version(['refund_id'], ['_loaded_at desc', '_fetched_at desc nulls last']) }}

),

with_moved as (

    select * from loaded
    {{ left_behind('loaded', 'refund_id', 'charge_id') }}

)

select * from with_moved
