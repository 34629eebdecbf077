-- an order changes with its lines and charges, and with their refunds and disputes
select
    order_id,
    _loaded_at
from {{ ref('int_orders_cleaned') }}
union all
select
    order_id,
    _loaded_at
from {{ ref('int_order_items_cleaned') }}
where order_id is not null
union all
select
    referenced_order_id,
    _loaded_at
from {{ ref('int_charges_converted') }}
where referenced_order_id is not null
union all
select
    charges.referenced_order_id,
    refunds._loaded_at
from {{ ref('int_refunds_cleaned') }} as refunds
inner join {{ ref('int_charges_converted') }} as charges on refunds.charge_id = charges.charge_id
where charges.referenced_order_id is not null
union all
select
    charges.referenced_order_id,
    disputes._loaded_at
from {{ ref('int_disputes_cleaned') }} as disputes
inner join {{ ref('int_charges_converted') }} as charges on disputes.charge_id = charges.charge_id
where charges.referenced_order_id is not null
