with

charges as (

    select * from {{ ref('int_charges_converted') }}

),

touched_charges as (

    select * from {{ ref('int_touched_charges') }}

),

changed_orders as (

    select * from {{ ref('int_changed_orders') }}

),

-- with an order change all charges that name it: it may be cancelled now, or be there at last
changed as (

    select charge_id from touched_charges
    union
    select charge_id
    from charges
    where referenced_order_id in (select changed_orders.order_id from changed_orders)
    {{- noticed_before('charge_id') }}

)

select
    charge_id,
    {{ build_number() }} as build_number
from changed
