{{ config(unique_key='dispute_id', incremental_strategy='delete+insert') }}

with

disputes as (

    select * from {{ ref('stg_disputes') }}

),

loaded as (

    select * from disputes
    {{ where_loaded_since() }}
    {{ newest_version(['dispute_id'], ['_loaded_at desc', '_fetched_at desc nulls last']) }}

),

with_moved as (

    select * from loaded
    {{ left_behind('loaded', 'dispute_id', 'charge_id') }}

)

select * from with_moved
