-- Every order of the raw table that is not deleted is in the mart, with its total to the cent, and
-- no other.
with

raw_orders as (

    select
        order_id,
        total_amount
    from {{ source('postgres', 'raw_orders') }}
    where _deleted_at is null and _loaded_at <= {{ seen_by('fct_orders') }}

),

lost_or_changed as (

    select
        raw_orders.order_id,
        raw_orders.total_amount as raw_total_amount,
        fct_orders.total_amount
    from raw_orders
    left join {{ ref('fct_orders') }} as fct_orders
        on raw_orders.order_id = fct_orders.order_id
    where fct_orders.order_id is null or raw_orders.total_amount <> fct_orders.total_amount

),

invented as (

    select
        fct_orders.order_id,
        cast(null as decimal(18, 2)) as raw_total_amount,
        fct_orders.total_amount
    from {{ ref('fct_orders') }} as fct_orders
    left join {{ source('postgres', 'raw_orders') }} as raw_orders
        on fct_orders.order_id = raw_orders.order_id
    where raw_orders.order_id is null

)

select * from lost_or_changed
union all
select * from invented
