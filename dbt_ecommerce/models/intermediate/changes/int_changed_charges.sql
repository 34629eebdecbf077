-- a charge changes with its refunds and disputes, and with its order and the order's other charges
select
    charge_id,
    _loaded_at
from {{ ref('int_charges_converted') }}
union all
select
    charge_id,
    _loaded_at
from {{ ref('int_refunds_cleaned') }}
where charge_id is not null
union all
select
    charge_id,
    _loaded_at
from {{ ref('int_disputes_cleaned') }}
where charge_id is not null
union all
select
    charges.charge_id,
    changed_orders._loaded_at
from {{ ref('int_changed_orders') }} as changed_orders
inner join {{ ref('int_charges_converted') }} as charges
    on changed_orders.order_id = charges.referenced_order_id
